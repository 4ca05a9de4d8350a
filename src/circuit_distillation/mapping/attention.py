"""How far two heads are apart in what they look at: the Jensen-Shannon divergence of attention profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuit_distillation.heads import Head

Floats = NDArray[np.float64]
Profiles = Mapping[str, ArrayLike]  # layout -> [layer, head, token, token], rows of probabilities
HeadProfile = list[Floats]  # of one head: [token, token] for each layout


def head_profiles(profiles: Profiles, heads: Sequence[Head]) -> list[HeadProfile]:
    """What `js_distances` takes, one entry a head; layouts in the order of their names."""
    layouts = [np.asarray(profiles[name]) for name in sorted(profiles)]
    return [[rows[layer, head].astype(np.float64) for rows in layouts] for layer, head in heads]


def check_layouts(student: Profiles, teacher: Profiles) -> None:
    """ValueError unless both have the same layouts, each of one length."""
    lengths = [
        {name: np.shape(profiles[name])[-1] for name in sorted(profiles)} for profiles in (student, teacher)
    ]
    if lengths[0] != lengths[1]:
        raise ValueError(
            f"attention profiles have layouts of {lengths[0]} tokens for the student and {lengths[1]} for "
            "the teacher: make both on one split, with one tokenizer"
        )


def js_distances(student: Sequence[HeadProfile], teacher: Sequence[HeadProfile]) -> Floats:
    """Jensen-Shannon divergence in nats, the mean over rows and then over layouts: [n_student, n_teacher].

    From 0 for equal rows to log 2 for rows without a common token (Lin 1991).
    """
    by_layout = [_layout_distances(*sides) for sides in zip(_by_layout(student), _by_layout(teacher))]
    return np.mean(by_layout, axis=0)


def _by_layout(heads: Sequence[HeadProfile]) -> list[Floats]:
    """[head, token, token] for each layout."""
    return [np.stack(rows) for rows in zip(*heads, strict=True)]


def _layout_distances(student: Floats, teacher: Floats) -> Floats:
    of_student, of_teacher = _entropy(student), _entropy(teacher)
    of_middle = np.stack([_entropy((head + teacher) / 2) for head in student])
    return np.maximum(of_middle - (of_student[:, None] + of_teacher[None, :]) / 2, 0.0)


def _entropy(rows: Floats) -> Floats:
    """Nats, the mean over rows: [..., row, token] -> [...]."""
    logs = np.log(rows, out=np.zeros_like(rows), where=rows > 0)
    return -(rows * logs).sum(axis=-1).mean(axis=-1)
