"""Which heads an arm trains, and which of its activations are compared with the teacher's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuit_distillation.heads import Head, Pair
from circuit_distillation.models.architecture import Architecture
from circuit_distillation.training.distillation_settings import DistillationSettings
from circuit_distillation.training.features import Site


def trained_heads(
    settings: DistillationSettings, heads: Sequence[Head], shape: Architecture
) -> list[Head] | None:
    """The heads whose weights train; None where all weights do."""
    if settings.trained == "all":
        return None
    if settings.trained == "heads":
        return list(heads)
    return list(_substitutes(heads, shape, settings.seed).values())


def compared_sites(
    settings: DistillationSettings, heads: Sequence[Head], pairs: Sequence[Pair], shape: Architecture
) -> list[tuple[Site, Site]]:
    """(student site, teacher site) of every alignment term.

    With random trained heads each takes the place of one circuit head and inherits its teacher head, so that
    the number of pairs and the teacher's side stay the same. For layers, each distinct pair of layers counts
    once.
    """
    if settings.alignment is None:
        return []
    if not pairs:
        raise ValueError(
            "this arm aligns heads, but there are no pairs: run the head mapping first, or raise "
            "head_mapping.max_distance if it refused every head"
        )
    if settings.alignment.sites == "layers":
        return [((s, None), (t, None)) for s, t in dict.fromkeys((s[0], t[0]) for s, t in pairs)]
    if settings.trained == "random_heads":
        stand_in = _substitutes(heads, shape, settings.seed)
        return [(stand_in[student], teacher) for student, teacher in pairs]
    return list(pairs)


def _substitutes(heads: Sequence[Head], shape: Architecture, seed: int) -> dict[Head, Head]:
    """circuit head -> a head drawn outside the circuit, without repetition."""
    others = [(layer, head) for layer in range(shape.n_layers) for head in range(shape.n_heads)]
    others = [head for head in others if head not in set(heads)]
    if len(others) < len(heads):
        raise ValueError(
            f"{len(heads)} random heads cannot be drawn from the {len(others)} outside the circuit"
        )
    drawn = np.random.default_rng(seed).choice(len(others), size=len(heads), replace=False)
    return dict(zip(heads, (others[i] for i in drawn), strict=True))
