from __future__ import annotations

import json

import numpy as np
import pytest

from circuit_distillation.mapping.match import head_distances, match_heads
from circuit_distillation.mapping.record import mapping_record, pair_stability

STUDENT_HEADS = [(0, 1), (1, 0), (1, 2)]
TEACHER_HEADS = [(0, 0), (2, 3), (3, 1)]
STUDENT_IMPACT = np.array([0.5, 0.1, 0.375])
TEACHER_IMPACT = np.array([0.5, 0.5, 0.1])


def record(**extra):
    return mapping_record(
        STUDENT_HEADS,
        TEACHER_HEADS,
        STUDENT_IMPACT,
        TEACHER_IMPACT,
        match_heads(STUDENT_IMPACT, TEACHER_IMPACT),
        distances=head_distances(STUDENT_IMPACT, TEACHER_IMPACT, "nearest"),
        rule="nearest",
        form="difference",
        baseline="student",
        performance="logprob",
        **extra,
    )


def test_the_record_states_pairs_ties_and_distinct_heads() -> None:
    made = record(parameters={"fraction": 0.11}, hashes={"student": "ab"}, stability=[0.9, 1.0, 0.5])
    assert [(p["student"], p["teacher"]) for p in made["pairs"]] == [
        ([0, 1], [0, 0]),
        ([1, 0], [3, 1]),
        ([1, 2], [0, 0]),
    ]
    assert made["pairs"][2]["distance"] == pytest.approx(0.125)
    assert (made["pairs"][1]["student_impact"], made["pairs"][1]["teacher_impact"]) == (0.1, 0.1)
    assert made["ties"][0] == {"student": [0, 1], "teachers": [[0, 0], [2, 3]]}
    assert made["distinct_teacher_heads"] == 2 and made["n_pairs"] == 3
    assert [p["stability"] for p in made["pairs"]] == [0.9, 1.0, 0.5]
    assert made["parameters"] == {"fraction": 0.11} and made["hashes"] == {"student": "ab"}
    assert json.loads(json.dumps(made)) == made


def test_control_pairs_outside_the_mapped_heads_have_no_distance() -> None:
    made = record(random_pairs=[((0, 1), (2, 3)), ((1, 0), (7, 7))])
    inside, outside = made["random_pairs"]
    assert inside["teacher_impact"] == 0.5 and inside["distance"] == 0.0
    assert outside["teacher_impact"] is None and outside["distance"] is None
    assert outside["student_impact"] == 0.1


def test_refused_heads_are_listed_with_their_least_distance() -> None:
    distances = np.array([[0.1, 0.4, 0.4], [np.inf, np.inf, np.inf], [0.9, 0.8, np.inf]])
    made = mapping_record(
        STUDENT_HEADS,
        TEACHER_HEADS,
        STUDENT_IMPACT,
        TEACHER_IMPACT,
        [(0, 0)],
        distances=distances,
        rule="role",
        form="difference",
        baseline="student",
        performance="logprob",
        random_pairs=[((1, 0), (2, 3))],
    )
    assert made["refused"] == [{"student": [1, 0], "distance": None}, {"student": [1, 2], "distance": 0.8}]
    assert made["n_pairs"] == made["distinct_teacher_heads"] == 1 and made["ties"] == []
    assert made["random_pairs"][0]["distance"] is None
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert record()["refused"] == []


def bootstrap_input(noise: float):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 7)
    base = np.zeros(210)
    student = -np.array([[0.5], [0.1]]) + noise * rng.normal(size=(2, 210))
    teacher = -np.array([[0.1], [0.5], [0.3]]) + noise * rng.normal(size=(3, 210))
    return base, student, base, teacher, groups


@pytest.mark.parametrize("rule", ["nearest", "one_to_one"])
def test_clear_pairs_are_stable_and_blurred_ones_are_not(rule: str) -> None:
    pairs = [(0, 1), (1, 0)]
    assert pair_stability(pairs, *bootstrap_input(0.0), rule=rule, n_resamples=20) == [1.0, 1.0]
    blurred = pair_stability(pairs, *bootstrap_input(5.0), rule=rule, n_resamples=50)
    assert min(blurred) < 1.0
    assert blurred == pair_stability(pairs, *bootstrap_input(5.0), rule=rule, n_resamples=50)


def test_stability_resamples_scenes_not_examples() -> None:
    # Within a scene the effects cancel, so no resample of whole scenes can change an impact.
    base, student, _, teacher, groups = bootstrap_input(0.0)
    wave = np.tile([9.0, -9.0, 4.0, -4.0, 1.0, -1.0, 0.0], 30)
    assert pair_stability([(0, 1), (1, 0)], base, student + wave, base, teacher, groups, n_resamples=25) == [
        1.0,
        1.0,
    ]


def test_stability_is_for_impact_rules_only() -> None:
    with pytest.raises(ValueError, match="nearest"):
        pair_stability([(0, 0)], *bootstrap_input(0.0), rule="cka")


def test_heads_read_from_json_and_misfits() -> None:
    arguments = dict(rule="nearest", form="difference", baseline="teacher", performance="accuracy")
    made = mapping_record([[0, 0]], [[1, 1]], [0.1], [0.2], [(0, 0)], distances=[[0.1]], **arguments)
    assert made["pairs"][0]["teacher"] == [1, 1] and made["ties"] == []
    with pytest.raises(ValueError, match="do not fit"):
        mapping_record([[0, 0]], [[1, 1]], [0.1], [0.2, 0.3], [(0, 0)], distances=[[0.1]], **arguments)
