"""From effects to the mapping, on effects small enough to follow by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from mapping.by_hand import (
    ANCESTRY,
    CIRCUITS,
    EXAMPLES,
    STUDENT,
    STUDENT_BASE,
    TEACHER,
    TEACHER_BASE,
    effects,
    frame,
)

from circuit_distillation.mapping.build import build_mapping
from circuit_distillation.mapping.effects import Effects, features_from_frame
from circuit_distillation.mapping.match import RULES
from circuit_distillation.mapping.settings import MappingSettings

NUMBERS = ("fraction", "seed", "max_distance")


def mapped(*, sides=None, circuits=CIRCUITS, evidence=None, **settings) -> dict:
    chosen = MappingSettings(**{"fraction": 0.5, **settings})
    return build_mapping(*(sides or effects()), *circuits, chosen, **evidence or {})


def pairs(made: dict, name: str = "pairs") -> list:
    return [(tuple(pair["student"]), tuple(pair["teacher"])) for pair in made[name]]


def head_outputs() -> tuple[dict, dict]:
    """Teacher (0, 1) is student (0, 0) rotated and teacher (1, 0) is student (1, 0) rotated."""
    rng = np.random.default_rng(0)
    student = {head: rng.normal(size=(4, 2)) for head in STUDENT}
    turn = np.array([[0.0, 2.0], [-2.0, 0.0]])
    teacher = {head: rng.normal(size=(4, 2)) for head in TEACHER}
    teacher |= {(0, 1): student[0, 0] @ turn, (1, 0): student[1, 0] @ turn}
    return student, teacher


def looks() -> tuple[dict, dict]:
    """Teacher (0, 1) looks where student (0, 0) looks; where student (1, 0) looks, none does."""
    student = {"layout": np.stack([np.eye(4)[[[2] * 4, [0] * 4]], np.eye(4)[[[3] * 4, [0] * 4]]])}
    teacher = {"layout": np.stack([np.eye(4)[[[1] * 4, [2] * 4]], np.eye(4)[[[0] * 4, [0] * 4]]])}
    return student, teacher


def all_evidence() -> dict:
    return {"outputs": head_outputs(), "profiles": looks(), "ancestry": ANCESTRY}


def test_equations_3_to_5_by_hand() -> None:
    made = mapped()
    assert made["student_heads"] == [[0, 0], [1, 0]]  # half of four heads, the largest drops
    assert made["n_student_heads_total"] == 4 and made["role"] == "small"
    assert pairs(made) == [((0, 0), (0, 0)), ((1, 0), (0, 1))]
    assert [pair["student_impact"] for pair in made["pairs"]] == [0.5, 0.25]
    assert [pair["teacher_impact"] for pair in made["pairs"]] == [0.5, 0.25]
    assert [pair["distance"] for pair in made["pairs"]] == [0.0, 0.0]
    assert made["distinct_teacher_heads"] == 2 and made["ties"] == []


def test_the_teachers_own_baseline_shifts_equation_4() -> None:
    made = mapped(baseline="teacher")  # teacher impacts 1, 0.75, 0.5
    assert pairs(made) == [((0, 0), (1, 0)), ((1, 0), (1, 0))]
    assert [pair["teacher_impact"] for pair in made["pairs"]] == [0.5, 0.5]
    assert [pair["distance"] for pair in made["pairs"]] == [0.0, 0.25]
    assert made["baseline"] == "teacher" and made["distinct_teacher_heads"] == 1


def test_one_to_one_shares_no_teacher_head() -> None:
    # Distances 0.5, 0.25, 0 and 0.75, 0.5, 0.25: every assignment onto the last two costs 0.5.
    assert pairs(mapped(baseline="teacher", rule="one_to_one")) == [((0, 0), (0, 1)), ((1, 0), (1, 0))]


def test_the_printed_ratio_sends_every_head_to_one() -> None:
    made = mapped(student_form="ratio")  # -1 / -1.5 and -1 / -1.25, beyond every teacher impact
    assert [pair["student_impact"] for pair in made["pairs"]] == pytest.approx([2 / 3, 0.8])
    assert pairs(made) == [((0, 0), (0, 0)), ((1, 0), (0, 0))]
    assert made["student_heads"] == [[0, 0], [1, 0]]  # H_s goes by differences all the same
    assert made["form"] == "ratio"


def test_profiles_are_matched_by_the_pattern_over_examples() -> None:
    # Student (1, 0) falls on examples 1 and 3, as teacher (1, 0) does; (0, 1) falls on the others.
    made = mapped(rule="profile")
    assert pairs(made)[1] == ((1, 0), (1, 0))
    assert made["pairs"][1]["distance"] == pytest.approx(0.0, abs=1e-12)
    assert "stability" not in made["pairs"][0]


def test_cka_matches_rotated_outputs() -> None:
    made = mapped(rule="cka", evidence={"outputs": head_outputs()})
    assert pairs(made) == [((0, 0), (0, 1)), ((1, 0), (1, 0))]
    assert [pair["distance"] for pair in made["pairs"]] == pytest.approx([0.0, 0.0], abs=1e-12)


def test_attention_profiles_are_matched_and_refused_beyond_a_distance() -> None:
    made = mapped(rule="attention_profile", evidence=all_evidence())
    assert pairs(made) == [((0, 0), (0, 1))] and made["pairs"][0]["distance"] == 0.0
    assert made["refused"] == [{"student": [1, 0], "distance": pytest.approx(np.log(2))}]
    made = mapped(rule="attention_profile", evidence=all_evidence(), max_distance=0.7)
    assert pairs(made) == [((0, 0), (0, 1)), ((1, 0), (0, 0))] and made["refused"] == []


def test_roles_are_matched_by_the_stages_of_both_circuits() -> None:
    made = mapped(rule="role")
    assert pairs(made) == [((1, 0), (0, 1))]
    assert made["refused"] == [{"student": [0, 0], "distance": None}]  # no teacher head is a detector


def test_an_ancestor_outside_the_circuit_is_the_pair_all_the_same() -> None:
    made = mapped(rule="ancestry", evidence=all_evidence())
    assert pairs(made) == [((0, 0), (1, 1)), ((1, 0), (0, 0))]
    assert [pair["teacher_impact"] for pair in made["pairs"]] == [-0.25, 0.5]
    assert pairs(made, "random_pairs") == pairs(mapped(), "random_pairs")


def test_a_rule_that_this_family_cannot_have_is_refused_in_one_line() -> None:
    one_stage = [circuit | {"stages": {"mean_ablation": circuit["heads"]}} for circuit in CIRCUITS]
    with pytest.raises(ValueError, match="'role' needs circuits that were searched in several stages"):
        mapped(rule="role", circuits=one_stage)
    with pytest.raises(ValueError, match="'ancestry' needs students that were pruned from the large model"):
        mapped(rule="ancestry")
    with pytest.raises(ValueError, match="'attention_profile' needs features"):
        mapped(rule="attention_profile")


def test_the_random_rule_follows_the_seed() -> None:
    drawn = [pairs(mapped(rule="random", seed=seed)) for seed in range(8)]
    assert drawn[3] == pairs(mapped(rule="random", seed=3))
    assert len({tuple(draw) for draw in drawn}) > 1
    assert all({teacher for _, teacher in draw} <= {(0, 0), (0, 1), (1, 0)} for draw in drawn)


@pytest.mark.parametrize(("measure", "column"), [("accuracy", "correct"), ("logit_diff", "logit_diff")])
def test_every_performance_measure_reads_its_column(measure: str, column: str) -> None:
    made = mapped(sides=effects(column), performance=measure)
    assert pairs(made) == pairs(mapped()) and made["performance"] == measure


def test_accuracy_counts_right_answers() -> None:
    right = {"base": [True, True, True, True], (0, 0): [False, True, True, False]}
    side = Effects.from_frame(frame(right["base"], {(0, 0): right[0, 0]}, "correct"))
    circuit = {"role": "small", "heads": [[0, 0]], "model_hash": "cc"}
    made = mapped(sides=(side, side), circuits=(circuit, circuit), performance="accuracy")
    assert made["pairs"][0]["student_impact"] == 0.5


def test_a_head_that_helps_some_examples_and_harms_others_is_relevant() -> None:
    torn = STUDENT | {(0, 1): [-2.0, 0.0, -2.0, 0.0]}  # no effect on average, the largest on each example
    student = Effects.from_frame(frame(STUDENT_BASE, torn))
    made = mapped(sides=(student, effects()[1]), fraction=0.25)
    assert made["student_heads"] == [[0, 1]]
    assert made["pairs"][0]["student_impact"] == 0.0 and pairs(made) == [((0, 1), (1, 0))]


def test_a_discovered_circuit_takes_the_place_of_the_largest_impacts() -> None:
    made = mapped(student_heads="discovered")
    assert made["student_heads"] == [[1, 1]]
    assert pairs(made) == [((1, 1), (0, 1))]  # 0.125 lies as near 0.25 as 0: the lowest index wins
    assert made["ties"] == [{"student": [1, 1], "teachers": [[0, 1], [1, 0]]}]


@pytest.mark.parametrize(
    ("source", "pool"), [("circuit", {(0, 0), (0, 1), (1, 0)}), ("any_head", set(TEACHER))]
)
def test_control_pairs_keep_the_students_and_avoid_their_heads(source: str, pool: set) -> None:
    seen = set()
    for seed in range(12):
        made = mapped(random_from=source, seed=seed)
        control = pairs(made, "random_pairs")
        assert [student for student, _ in control] == [(0, 0), (1, 0)]
        assert all(own != other for own, other in zip(pairs(made), control, strict=True))
        seen |= {teacher for _, teacher in control}
    assert seen == pool


def test_the_rule_changes_neither_the_heads_nor_the_control_pairs() -> None:
    made = {rule: mapped(rule=rule, evidence=all_evidence(), seed=2) for rule in RULES}
    for record in made.values():
        assert record["student_heads"] == made["nearest"]["student_heads"]
        assert pairs(record, "random_pairs") == pairs(made["nearest"], "random_pairs")
        shared = set(pairs(record)) & set(pairs(record, "random_pairs"))
        assert record["n_control_pairs_mapped"] == len(shared)
    assert made["nearest"]["n_control_pairs_mapped"] == 0
    assert any(record["n_control_pairs_mapped"] for record in made.values())


@pytest.mark.parametrize("rule", RULES)
def test_what_is_stored_is_complete_json(rule: str) -> None:
    made = mapped(rule=rule, evidence=all_evidence(), seed=5)
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert set(made) == {
        *("role", "student_heads", "n_student_heads_total", "rule", "form", "baseline", "performance"),
        *("pairs", "ties", "distinct_teacher_heads", "n_pairs", "random_pairs", "parameters", "hashes"),
        *("n_control_pairs_mapped", "refused"),
    }
    fields = {"student", "teacher", "student_impact", "teacher_impact", "distance"}
    assert all(fields <= set(pair) for pair in made["pairs"] + made["random_pairs"])
    assert made["n_pairs"] == len(made["pairs"]) == 2 - len(made["refused"])
    assert len(made["random_pairs"]) == 2
    assert (made["rule"], made["hashes"]) == (rule, {"student": "aa", "teacher": "bb"})
    assert made["parameters"] == {
        "fraction": 0.5,
        "student_form": "difference",
        "baseline": "student",
        "performance": "logprob",
        "rule": rule,
        "max_distance": 0.32,
        "student_heads": "top_impact",
        "random_from": "circuit",
        "seed": 5,
    }


@pytest.mark.parametrize("rule", ["nearest", "one_to_one"])
def test_pairs_that_every_scene_supports_are_stable(rule: str) -> None:
    assert [pair["stability"] for pair in mapped(rule=rule)["pairs"]] == [1.0, 1.0]


def test_stored_outputs_are_one_matrix_a_head_in_one_order_of_examples() -> None:
    rows = [
        {"layer": 0, "head": head, "example_id": name, "z": np.array([10.0 * head, index])}
        for head in (1, 0)
        for index, name in enumerate(EXAMPLES)
    ]
    found = features_from_frame(pd.DataFrame(rows).sample(frac=1, random_state=1))
    assert set(found) == {(0, 0), (0, 1)}
    assert found[0, 1].tolist() == [[10.0, 0.0], [10.0, 1.0], [10.0, 2.0], [10.0, 3.0]]


@pytest.mark.parametrize("setting", [name for name in MappingSettings.model_fields if name not in NUMBERS])
def test_unknown_settings_are_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting}\n.*should be '.*' or '.*' .*input_value='other'"):
        MappingSettings(fraction=0.5, **{setting: "other"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"performance": "logit_diff"}, "needs 'logit_diff' per example; recorded are .'log_prob'."),
        ({"rule": "cka"}, "needs features"),
    ],
)
def test_steps_refuse_what_they_cannot_do(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mapped(**settings)


def test_effects_that_lack_or_repeat_rows_are_refused() -> None:
    whole = frame(STUDENT_BASE, STUDENT)
    without_base = whole[whole["layer"] >= 0]
    repeated = pd.concat([whole.iloc[1:], whole.iloc[1:2]])
    for broken in (whole.iloc[1:], without_base, repeated):
        with pytest.raises(ValueError, match="make them again"):
            Effects.from_frame(broken)


def test_effects_of_other_examples_or_models_are_refused() -> None:
    student, teacher = effects()
    renamed = frame(TEACHER_BASE, TEACHER)
    renamed["example_id"] += "-x"
    with pytest.raises(ValueError, match="different examples"):
        mapped(sides=(student, Effects.from_frame(renamed)))
    foreign = CIRCUITS[1] | {"heads": [[7, 0]]}
    with pytest.raises(ValueError, match=r"head \(7, 0\) lies outside \(2, 2\)"):
        mapped(circuits=(CIRCUITS[0], foreign))
    with pytest.raises(ValueError, match="no heads"):
        mapped(circuits=(CIRCUITS[0], CIRCUITS[1] | {"heads": []}))
