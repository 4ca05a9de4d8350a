"""Which teacher head each relevant student head is paired with: equation 5 and alternatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuit_distillation.mapping.attention import js_distances
from circuit_distillation.mapping.impact import as_finite

_TIE = 1e-12  # two totals closer than this, relative to the largest distance, are the same optimum

Floats = NDArray[np.float64]
ByHead = Sequence[Any] | Floats
Features = tuple[ByHead, ByHead]


@dataclass(frozen=True)
class Rule:
    """A way to pair heads; the table RULES has one entry for each.

    label: for pages and docs. compare: what `needs` names, of students and of teachers, one entry a head ->
    distances [n_student, n_teacher], infinite for a pair that is out of the question. choose: distances and
    a seed -> a teacher index for each student. needs: mean impacts, effects by example, head outputs by
    example, attention profiles, stages of the search with impacts, or known ancestors. resamples: whether
    the stability of its pairs is measured, by resampling the examples behind the mean impacts. limited:
    whether a pair beyond `max_distance` is refused. in_circuit: whether it chooses among the heads of the
    teacher's circuit, or among all heads.
    """

    label: str
    compare: Callable[[Any, Any], Floats]
    choose: Callable[[Floats, int], list[int]]
    needs: Literal["impacts", "effects", "outputs", "attention", "roles", "ancestry"] = "impacts"
    resamples: bool = False
    limited: bool = False
    in_circuit: bool = True


def match_heads(
    student_impact: ArrayLike,
    teacher_impact: ArrayLike,
    rule: str = "nearest",
    *,
    features: Features | None = None,
    seed: int = 0,
    max_distance: float = np.inf,
) -> list[tuple[int, int]]:
    """Pair student heads with teacher heads: (student index, teacher index), by student index.

    Impacts are vectors over the relevant heads, [n_student] and [n_teacher]. The lowest teacher index wins
    a tie. A student head that a rule refuses has no pair.

    - "nearest": the teacher head of least |impact difference| (equation 5). Several students may share one.
    - "one_to_one": least total |impact difference| with every teacher head used at most once (Hungarian).
      Where several assignments are optimal, the first student head gets its lowest possible teacher index,
      then the second, ...
    - "profile": `features` are per-example effects ([n_student, example], [n_teacher, example]) on the same
      examples; the highest Pearson correlation wins. A head whose effect is the same on all examples
      correlates with none: 0.
    - "cka": `features` are head outputs (one [m, d_student] per student head, one [m, d_teacher] per
      teacher head) on the same m examples; the highest linear CKA (equation 2) wins.
    - "attention_profile": `features` are attention profiles (for each head a list of [token, token], one a
      layout); the least Jensen-Shannon divergence wins. A head farther than `max_distance` (nats) from all
      is refused.
    - "role": `features` are (impact, stages that found the head); the nearest impact among teacher heads that
      share a stage wins. A head that shares none is refused.
    - "ancestry": `features` are the teacher head that each student head was made from (None: unknown, so it
      is refused) and the teacher heads themselves. The truth, for judging other rules.
    - "random": teacher heads drawn with `seed`, without repetition as long as there are enough.

    ValueError for an unknown rule, missing or misfitting features, or too few teacher heads for "one_to_one".
    """
    cost = head_distances(student_impact, teacher_impact, rule, features=features)
    limit = max_distance if RULES[rule].limited else np.inf
    chosen = enumerate(RULES[rule].choose(cost, seed))
    return [(i, j) for i, j in chosen if np.isfinite(cost[i, j]) and cost[i, j] <= limit]


def head_distances(
    student_impact: ArrayLike, teacher_impact: ArrayLike, rule: str, *, features: Features | None = None
) -> Floats:
    """What a rule minimises, such as |impact difference| (equation 5) or 1 - correlation.

    Shape [n_student, n_teacher]; infinite for a pair that the rule never makes.
    """
    if rule not in RULES:
        raise ValueError(f"matching rule {rule!r} is unknown; choose one of {', '.join(RULES)}")
    student, teacher = _impacts(student_impact, "student"), _impacts(teacher_impact, "teacher")
    if RULES[rule].needs == "impacts":
        return RULES[rule].compare(student, teacher)
    if features is None:
        raise ValueError(f"matching rule {rule!r} needs features=(student, teacher), one entry a head")
    if len(features[0]) != len(student) or len(features[1]) != len(teacher):
        raise ValueError(
            f"features describe {len(features[0])} student and {len(features[1])} teacher heads, "
            f"the impacts {len(student)} and {len(teacher)}; give one entry a head"
        )
    return RULES[rule].compare(*features)


def draw_heads(n_draws: int, n_heads: int, rng: np.random.Generator) -> list[int]:
    """`n_draws` indices below `n_heads`; each is used once before any is used a second time."""
    rounds = [rng.permutation(n_heads) for _ in range(-(-n_draws // n_heads))]
    return [int(j) for j in np.concatenate(rounds)[:n_draws]]


def _impacts(values: ArrayLike, who: str) -> Floats:
    array = as_finite(values, f"{who}_impact")
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(
            f"{who}_impact must be a vector with one entry a relevant head, got shape {array.shape}"
        )
    return array


def _gaps(student: ByHead, teacher: ByHead) -> Floats:
    """Equation 5: |impact difference| of each student and teacher head; other rules use it too."""
    return np.abs(np.asarray(student)[:, None] - np.asarray(teacher)[None, :])


def _nearest(cost: Floats, _: int) -> list[int]:
    return [int(j) for j in cost.argmin(axis=1)]


def _drawn(cost: Floats, seed: int) -> list[int]:
    n_students, n_teachers = cost.shape
    return draw_heads(n_students, n_teachers, np.random.default_rng(seed))


def _assign(cost: Floats, _: int = 0) -> list[int]:
    """The optimal one-to-one assignment with the smallest teacher indices, in the order of the students."""
    n_student, n_teacher = cost.shape
    if n_teacher < n_student:
        raise ValueError(f'"one_to_one" needs a teacher head a student head, got {n_teacher} for {n_student}')
    tolerance = _TIE * max(1.0, float(cost.max())) * n_student
    left = np.arange(n_teacher)
    chosen: list[int] = []
    for i in range(n_student):
        total, rest = _least_total(cost[i:, left]), cost[i + 1 :, :]
        # No choice of this head can let the rest do better than with all teacher heads free: skip those
        # that cannot tie.
        hopeful = left[cost[i, left] + _least_total(rest[:, left]) <= total + tolerance]
        for j in hopeful:
            if cost[i, j] + _least_total(rest[:, left[left != j]]) <= total + tolerance:
                break
        chosen.append(int(j))
        left = left[left != j]
    return chosen


def _least_total(cost: Floats) -> float:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cost)
    return float(cost[rows, columns].sum())


def _profile_distances(student: ByHead, teacher: ByHead) -> Floats:
    s, t = as_finite(student, "student features"), as_finite(teacher, "teacher features")
    if s.ndim != 2 or t.ndim != 2 or s.shape[1] != t.shape[1]:
        raise ValueError(
            f"profiles must be [head, example] on the same examples, got {s.shape} and {t.shape}"
        )
    return 1.0 - _unit_rows(s) @ _unit_rows(t).T


def _unit_rows(x: Floats) -> Floats:
    """Rows centred and scaled to length 1; a constant row becomes 0."""
    centred = x - x.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    constant = length <= 1e-12 * np.abs(x).max(axis=1, keepdims=True)
    return np.where(constant, 0.0, centred / np.where(constant, 1.0, length))


def _cka_distances(student: ByHead, teacher: ByHead) -> Floats:
    import torch

    from circuit_distillation.similarity.cka import linear_cka

    s, t = ([torch.as_tensor(x, dtype=torch.float64) for x in side] for side in (student, teacher))
    return np.array([[1.0 - float(linear_cka(x, y)) for y in t] for x in s])


def _same_role_gaps(student: ByHead, teacher: ByHead) -> Floats:
    """|impact difference| of heads (impact, stages) that share a stage."""
    return np.array(
        [[abs(a - b) if own & other else np.inf for b, other in teacher] for a, own in student], dtype=float
    )


def _unlike_ancestor(student: ByHead, teacher: ByHead) -> Floats:
    """0 for a student head's ancestor, else infinite."""
    return np.array([[0.0 if ancestor == head else np.inf for head in teacher] for ancestor in student])


# A new rule is a function and an entry: parameters, records and pages take their choices and names from here.
RULES = {
    "nearest": Rule("nearest impact (eq. 5)", _gaps, _nearest, resamples=True),
    "one_to_one": Rule("nearest impact, one to one", _gaps, _assign, resamples=True),
    "profile": Rule("correlation of effects by example", _profile_distances, _nearest, needs="effects"),
    "cka": Rule("CKA of head outputs", _cka_distances, _nearest, needs="outputs"),
    "attention_profile": Rule(
        "nearest attention profile", js_distances, _nearest, needs="attention", limited=True
    ),
    "role": Rule("same stage of the search", _same_role_gaps, _nearest, needs="roles"),
    "ancestry": Rule("its ancestor", _unlike_ancestor, _nearest, needs="ancestry", in_circuit=False),
    "random": Rule("drawn at random", _gaps, _drawn),
}
