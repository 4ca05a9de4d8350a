"""Control pairs of another function."""

from __future__ import annotations

import numpy as np
import pytest
from mapping.by_hand import CIRCUITS, STUDENT, TEACHER, effects

from circuit_distillation.mapping.controls import draw_controls, draw_other_roles
from circuit_distillation.mapping.settings import MappingSettings

HEADS = {"role": "small", "student_heads": [[0, 0], [1, 0]], "model_hash": "aa"}
UNSTAGED = CIRCUITS[1] | {"stages": {}}


def looking_at(tokens: dict) -> dict[str, np.ndarray]:
    """Profiles in which each head looks at one of four tokens in every row."""
    rows = np.zeros((2, 2, 4, 4))
    for head, token in tokens.items():
        rows[head][:, token] = 1.0
    return {"layout": rows}


# Student (0, 0) does what teacher (0, 0) does, student (1, 0) what teacher (1, 0) does.
STUDENT_LOOKS = looking_at({head: i for i, head in enumerate(STUDENT)})
TEACHER_LOOKS = looking_at({head: i for i, head in enumerate(TEACHER)})


def controls(circuit=CIRCUITS[1], seed: int = 0, profiles=(STUDENT_LOOKS, TEACHER_LOOKS)) -> dict:
    settings = MappingSettings(fraction=0.5, random_from="other_role", seed=seed)
    return draw_controls(*effects(), HEADS, circuit, settings, profiles=profiles)


def drawn(record: dict) -> list:
    return [(tuple(pair["student"]), tuple(pair["teacher"])) for pair in record["pairs"]]


def test_controls_of_another_role_are_of_another_stage_than_the_nearest_profile() -> None:
    # Equation 5 pairs (0, 0) with (0, 0) and (1, 0) with (0, 1). Stages: (0, 1); (0, 0) and (1, 0).
    for seed in range(6):
        assert drawn(controls(seed=seed)) == [((0, 0), (0, 1)), ((1, 0), (0, 1))]
    assert controls()["hashes"] == {"student": "aa", "teacher": "bb"}


def test_without_stages_controls_come_from_the_farthest_half() -> None:
    near = TEACHER_LOOKS["layout"].copy()
    near[1, 0] = (near[1, 0] + near[0, 1]) / 2  # (1, 0) is nearer to (0, 1) than to (0, 0)
    seen = {
        pair
        for seed in range(6)
        for pair in drawn(controls(UNSTAGED, seed, (STUDENT_LOOKS, {"layout": near})))
    }
    # One head of three is the farther half; it may be the pair of equation 5 only if there is no other.
    assert seen <= {((0, 0), (0, 1)), ((1, 0), (0, 0))} and len(seen) == 2


def test_other_roles_need_profiles() -> None:
    with pytest.raises(ValueError, match="needs attention profiles of both models"):
        controls(profiles=None)


def mapping(*pairs) -> dict:
    pairs = [{"student": list(own), "teacher": list(other)} for own, other in pairs]
    return {"role": "small", "pairs": pairs, "hashes": {"student": "aa", "teacher": "bb"}}


def test_every_mapped_pair_gets_a_teacher_head_of_another_function() -> None:
    by_function = mapping(((0, 0), (0, 0)), ((1, 0), (0, 1)))
    seen = set()
    for seed in range(8):
        record = draw_other_roles(by_function, CIRCUITS[1], TEACHER_LOOKS, seed)
        assert record == draw_other_roles(by_function, CIRCUITS[1], TEACHER_LOOKS, seed)
        assert record["role"] == "small" and record["hashes"] == by_function["hashes"]
        pairs = drawn(record)
        assert pairs[0] == ((0, 0), (0, 1)) and pairs[1][0] == (1, 0)
        seen.add(pairs[1][1])
    assert seen == {(0, 0), (1, 0)}


def test_a_pair_is_left_out_where_the_circuit_has_no_other_head() -> None:
    alone = CIRCUITS[1] | {"heads": [[0, 1]], "stages": {}}
    assert draw_other_roles(mapping(((1, 0), (0, 1))), alone, TEACHER_LOOKS, 0)["pairs"] == []
    assert draw_other_roles(mapping(), CIRCUITS[1], TEACHER_LOOKS, 0)["pairs"] == []
    # A partner outside the circuit, as ancestors may be, leaves its heads free.
    found = draw_other_roles(mapping(((1, 0), (1, 1))), alone, TEACHER_LOOKS, 0)
    assert drawn(found) == [((1, 0), (0, 1))]
