"""The mapping as it is stored: pairs, distances, ties, distinct teacher heads, control pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from circuit_distillation.heads import Head, Pair
from circuit_distillation.mapping.impact import as_finite, student_impact, teacher_impact
from circuit_distillation.mapping.match import RULES, match_heads


def mapping_record(
    student_heads: Sequence[Head],
    teacher_heads: Sequence[Head],
    student_impacts: ArrayLike,
    teacher_impacts: ArrayLike,
    pairs: Sequence[tuple[int, int]],
    *,
    distances: ArrayLike,
    rule: str,
    form: str,
    baseline: str,
    performance: str,
    random_pairs: Sequence[Pair] = (),
    stability: Sequence[float] | None = None,
    parameters: Mapping[str, Any] | None = None,
    hashes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The mapping in plain JSON types.

    `pairs` are (student index, teacher index) into the two lists of heads, the impacts are [n_student] and
    [n_teacher], `distances` [n_student, n_teacher] is what the rule minimised (`match.head_distances`).
    `refused` lists the student heads without a pair, each with its least distance (None: no teacher head
    was in question).
    `random_pairs` are the control pairs as heads, `stability` the share of bootstrap samples that chose the
    same teacher head, one entry a pair. `ties` lists every student head whose least distance is shared by
    several teacher heads; `n_control_pairs_mapped` counts control pairs that are mapped pairs too (none under
    equation 5, against which they are drawn).
    """
    student_heads, teacher_heads = _as_tuples(student_heads), _as_tuples(teacher_heads)
    distances = np.asarray(distances, dtype=np.float64)
    as_finite(np.where(distances == np.inf, 0.0, distances), "distances")
    impacts = (as_finite(student_impacts, "student_impacts"), as_finite(teacher_impacts, "teacher_impacts"))
    if distances.shape != (len(student_heads), len(teacher_heads)) or distances.shape != (
        *impacts[0].shape,
        *impacts[1].shape,
    ):
        raise ValueError(
            f"{len(student_heads)} student and {len(teacher_heads)} teacher heads do not fit impacts of "
            f"shapes {impacts[0].shape}, {impacts[1].shape} and distances of shape {distances.shape}"
        )

    def entry(i: int, teacher: Head) -> dict[str, Any]:
        # A control head outside the mapped teacher heads has no measured impact and no distance: None.
        j = teacher_heads.index(teacher) if teacher in teacher_heads else None
        return {
            "student": list(student_heads[i]),
            "teacher": list(teacher),
            "student_impact": float(impacts[0][i]),
            "teacher_impact": None if j is None else float(impacts[1][j]),
            "distance": None if j is None else _plain(distances[i, j]),
        }

    entries = [entry(i, teacher_heads[j]) for i, j in pairs]
    if stability is not None:
        entries = [{**e, "stability": float(share)} for e, share in zip(entries, stability, strict=True)]
    controls = zip(
        _as_tuples(s for s, _ in random_pairs), _as_tuples(t for _, t in random_pairs), strict=True
    )
    drawn = [entry(student_heads.index(s), t) for s, t in controls]
    without = [i for i in range(len(student_heads)) if i not in dict(pairs)]
    return {
        "rule": rule,
        "form": form,
        "baseline": baseline,
        "performance": performance,
        "pairs": entries,
        "ties": _ties(student_heads, teacher_heads, distances),
        "distinct_teacher_heads": len({j for _, j in pairs}),
        "n_pairs": len(entries),
        "refused": [
            {"student": list(student_heads[i]), "distance": _plain(distances[i].min())} for i in without
        ],
        "random_pairs": drawn,
        "n_control_pairs_mapped": sum(_pair(control) in map(_pair, entries) for control in drawn),
        "parameters": dict(parameters or {}),
        "hashes": dict(hashes or {}),
    }


def pair_stability(
    pairs: Sequence[tuple[int, int]],
    student_base: ArrayLike,
    student_ablated: ArrayLike,
    teacher_base: ArrayLike,
    teacher_ablated: ArrayLike,
    groups: ArrayLike,
    *,
    rule: str = "nearest",
    form: str = "difference",
    n_resamples: int = 200,
    seed: int = 0,
) -> list[float]:
    """How often each pair is chosen again when the mapping split is resampled by scene: in [0, 1] a pair.

    P per example: `student_base` [example], `student_ablated` [n_student, example], `teacher_base`
    [example] (the student's own under `baseline: student`), `teacher_ablated` [n_teacher, example],
    `groups` [example] (scene ids). Only for rules that `match.RULES` marks with `resamples`.
    """
    if not RULES[rule].resamples:
        defined = ", ".join(name for name, entry in RULES.items() if entry.resamples)
        raise ValueError(f"the stability of pairs is defined for {defined}, not {rule!r}")
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    rng = np.random.default_rng(seed)
    arrays = [as_finite(x, "P") for x in (student_base, student_ablated, teacher_base, teacher_ablated)]
    kept = np.zeros(len(pairs))
    for _ in range(n_resamples):
        picks = np.bincount(rng.integers(group.max() + 1, size=group.max() + 1), minlength=group.max() + 1)
        weight = picks[group] / picks[group].sum()  # [example]
        s_base, s_ablated, t_base, t_ablated = (x @ weight for x in arrays)
        again = dict(
            match_heads(student_impact(s_base, s_ablated, form), teacher_impact(t_base, t_ablated), rule)
        )
        kept += [again[i] == j for i, j in pairs]
    return [float(share) for share in kept / n_resamples]


def _plain(distance: float) -> float | None:
    return float(distance) if np.isfinite(distance) else None


def _pair(entry: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    return entry["student"], entry["teacher"]


def _as_tuples(heads: Iterable[Sequence[int]]) -> list[Head]:
    return [(int(layer), int(head)) for layer, head in heads]


def _ties(
    student_heads: list[Head], teacher_heads: list[Head], distances: np.ndarray
) -> list[dict[str, Any]]:
    ties = []
    for student, row in zip(student_heads, distances, strict=True):
        nearest = np.flatnonzero(row == row.min())
        if len(nearest) > 1 and np.isfinite(row.min()):
            ties.append({"student": list(student), "teachers": [list(teacher_heads[j]) for j in nearest]})
    return ties
