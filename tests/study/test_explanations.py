"""Evidence for claims that do not hold, from sweeps whose figures are made up."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from circuit_distillation.study.claims import RUN_CLAIMS
from circuit_distillation.study.explanations import EVIDENCE, best_settings, explanations, tried_settings
from circuit_distillation.study.verdicts import FAILS, HOLDS, OPEN

ALIGN, RANDOM, CE = "circuit_ce_align_cka", "circuit_ce_rand_cka", "circuit_ce"


def rows(sweep: str, arm: str, changes: dict, *values: float) -> list[dict]:
    """A row for each student; circuits score 0.1 less, the CE is 1 less the accuracy."""
    return [
        {"task": "tom", "student": f"s{i}", "sweep": sweep, "arm": arm, "changes": json.dumps(changes),
         "full_accuracy": value, "circuit_accuracy": value - 0.1, "ce": 1 - value}
        for i, value in enumerate(values)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def sweeps() -> pd.DataFrame:
    return pd.DataFrame(
        rows("cka_weight", ALIGN, {"cka_weight": 0.1, "epochs": 3}, 0.7, 0.9)
        + rows("cka_weight", ALIGN, {"cka_weight": 10.0, "epochs": 3}, 0.5, 0.5)
        + rows("cka_weight", RANDOM, {"cka_weight": 0.1}, 0.6, 0.6)
        + rows("matching", ALIGN, {"rule": "nearest"}, 0.4, 0.4)
        + rows("matching", ALIGN, {"rule": "nearest", "baseline": "teacher"}, 0.3, 0.3)
        + rows("number_of_heads", CE, {"fraction": 0.5}, 0.65, 0.65)
        + rows("number_of_heads", ALIGN, {"fraction": 0.5}, 0.55, 0.55)
        + rows("scarce_data", CE, {"n_train": 64}, 0.2, 0.2)
        + rows("scarce_data", ALIGN, {"n_train": 64}, 0.3, 0.3)
        + rows("random_heads", CE, {}, 0.75, 0.75)
        + rows("random_heads", ALIGN, {}, 0.8, 0.8)
        + rows("random_heads", "full_ce", {}, 0.85, 0.85)
        + rows("random_heads", "random_heads_ce_align_cka", {}, 0.45, 0.45)
    )


def trial(arm: str, accuracy: float, **changes: float) -> dict:
    figures = {"full_accuracy": accuracy, "circuit_accuracy": accuracy - 0.1, "ce": 1 - accuracy}
    return {"task": "tom", "arm": arm, "changes": json.dumps(changes)} | figures


SEARCH = pd.DataFrame(
    [
        trial("circuit_align_cka", 0.7, learning_rate_heads=1e-5),
        trial("circuit_align_cka", 0.1, learning_rate_heads=1e-3),
        trial(CE, 0.66, learning_rate_heads=1e-4),
        trial(CE, 0.72, learning_rate_heads=1e-3),
        trial(ALIGN, 0.5, learning_rate_heads=1e-3, cka_weight=1.0),
        trial(ALIGN, 0.71, learning_rate_heads=1e-3, cka_weight=0.1),
    ]
)


def claims(*verdicts: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame([{"task": "tom", "claim": claim, "verdict": verdict} for claim, verdict in verdicts])


def test_claims_that_hold_need_no_explanation(sweeps):
    found = explanations(claims(("align_beats_ce", HOLDS), ("few_heads_suffice", FAILS)), sweeps, SEARCH)
    assert [row["claim"] for row in found] == ["`few_heads_suffice`"]
    expected = "by share of heads: CE alone 0.650 (0.5); CE + Align CKA 0.550 (0.5); CE on all weights 0.850"
    assert found[0]["what the trials show"] == expected


def test_figures_are_means_over_students_in_the_declared_order(sweeps):
    (row,) = explanations(claims(("align_beats_ce", OPEN)), sweeps, SEARCH)
    assert row["what the trials show"] == (
        "CE + Align CKA by λ: 0.800 (0.1), 0.500 (10.0); CE alone 0.750. "
        "By prompts: 0.300 (64); CE alone 0.200 (64)"
        "; at the same rate, CE + Align CKA and CE alone: 0.710 and 0.720 (0.001)"
    )
    (slow,) = explanations(claims(("lower_final_ce", OPEN)), sweeps, SEARCH)
    assert slow["what the trials show"].endswith(
        "CE alone 0.250; at the same rate, CE + Align CKA and CE alone: 0.290 and 0.280 (0.001)"
    )
    (rand,) = explanations(claims(("random_pairs_harm", FAILS)), sweeps, SEARCH)
    assert rand["what the trials show"].endswith(
        "by rule of matching: 0.400 (nearest), 0.300 (nearest teacher)"
    )
    (alone,) = explanations(claims(("align_alone_keeps_base", FAILS)), sweeps, SEARCH)
    assert alone["what the trials show"].endswith("by learning rate: 0.700 (1e-05), 0.100 (0.001)")


def test_every_kind_of_evidence_reads_what_the_sweeps_hold(sweeps):
    names = {claim.name for claim in RUN_CLAIMS}
    assert set(EVIDENCE) <= names
    found = explanations(claims(*((name, FAILS) for name in EVIDENCE)), sweeps, SEARCH)
    assert len(found) == len(EVIDENCE) and not any("nan" in row["what the trials show"] for row in found)


def test_the_best_setting_is_that_of_the_best_row(sweeps):
    best = best_settings(sweeps, "tom")
    assert best[CE] == ("{}", pytest.approx(0.75))
    assert best[ALIGN] == (json.dumps({"cka_weight": 0.1, "epochs": 3}), pytest.approx(0.8))
    assert explanations(claims(("align_beats_ce", OPEN)), pd.DataFrame(), SEARCH) == []
    assert tried_settings(sweeps) == {
        ALIGN: 7,
        CE: 3,
        RANDOM: 1,
        "full_ce": 1,
        "random_heads_ce_align_cka": 1,
    }
