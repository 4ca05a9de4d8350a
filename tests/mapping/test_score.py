"""Rules scored against the truth, on models small enough to follow by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from mapping.by_hand import ANCESTRY, CIRCUITS, effects

from circuit_distillation.mapping.match import RULES
from circuit_distillation.mapping.roles import roles_of
from circuit_distillation.mapping.score import score_rules
from circuit_distillation.mapping.settings import MappingSettings
from circuit_distillation.mapping.sides import Evidence, ancestors

HEADS = {"role": "small", "student_heads": [[0, 0], [1, 0]], "model_hash": "aa"}
ROLES = roles_of(CIRCUITS[0] | {"stages": {"fetcher": [[0, 0]], "reader": [[1, 1]]}}), roles_of(CIRCUITS[1])
TEACHER = CIRCUITS[1]


def scored(**evidence) -> dict[str, dict]:
    settings = MappingSettings(fraction=0.5)
    rows = score_rules(*effects(), HEADS, TEACHER, settings, Evidence(**evidence))
    assert [row["rule"] for row in rows] == list(RULES)
    return {row["rule"]: row for row in rows}


def test_shares_and_chances_by_hand() -> None:
    found = scored(roles=ROLES, ancestry=ANCESTRY)
    # Equation 5 pairs (0, 0) with (0, 0) and (1, 0) with (0, 1); ancestors are (1, 1), outside, and (0, 0).
    nearest = found["nearest"]
    assert (nearest["n_heads"], nearest["n_pairs"], nearest["n_in_circuit"]) == (2, 2, 1)
    assert nearest["ancestor_share"] == 0.0 and nearest["chance_ancestor"] == pytest.approx(1 / 6)
    # A stage found (0, 0) alone: a fetcher, as one of three circuit heads is, (0, 1).
    assert nearest["stage_share"] == 0.0 and nearest["chance_stage"] == pytest.approx(1 / 3)
    assert found["role"]["stage_share"] == 1.0 and found["role"]["n_pairs"] == 1
    assert found["ancestry"]["ancestor_share"] == 1.0 and found["ancestry"]["n_pairs"] == 2


def test_chance_is_the_mean_of_uniform_draws() -> None:
    settings = [MappingSettings(fraction=0.5, seed=seed) for seed in range(300)]
    evidence = Evidence(roles=ROLES, ancestry=ANCESTRY)
    random = list(RULES).index("random")
    drawn = [score_rules(*effects(), HEADS, TEACHER, one, evidence)[random] for one in settings]
    for name in ("ancestor", "stage"):
        mean = np.mean([row[f"{name}_share"] for row in drawn])
        assert mean == pytest.approx(drawn[0][f"chance_{name}"], abs=0.08)


def test_without_truth_shares_are_unknown_and_rules_that_need_it_say_why() -> None:
    found = scored()
    for row in found.values():
        shares = ("ancestor_share", "stage_share", "chance_ancestor", "chance_stage")
        assert all(math.isnan(row[name]) for name in shares)
    assert found["nearest"]["error"] == "" and found["nearest"]["n_pairs"] == 2
    reasons = {"role": "several stages", "ancestry": "pruned", "attention_profile": "features"}
    for rule, words in reasons.items():
        assert found[rule]["n_pairs"] == 0 and words in found[rule]["error"]


def test_stored_ancestry_is_read_by_role() -> None:
    stored = {"small": [[[0, 1], [2, 1]]], "medium": [[[0, 0], [1, 0]]]}
    assert ancestors(stored, "small") == {(0, 1): (2, 1)}
    assert ancestors(stored, "other") == ancestors({}, "small") == {}
