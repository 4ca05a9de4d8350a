"""Claims of the regimes against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from circuit_distillation.arms import ARMS
from circuit_distillation.reporting.gains import corners_svg
from circuit_distillation.statistics.holm import holm
from circuit_distillation.study.recall import recall
from circuit_distillation.study.regime_claims import (
    RegimeClaim,
    accuracies,
    declared,
    differences,
    family_test,
    judge,
)
from circuit_distillation.study.regime_tables import corners, document
from tests.study.test_recall import rule_scores

GAINS = (0.02, 0.04, 0.05, 0.03, 0.06)  # of attention over CE, by family


def outcomes() -> pd.DataFrame:
    """Five families of 100 prompts each: CE is right on 50, attention on 50 + 100 x gain of them."""
    rows = []
    for seed, gain in enumerate(GAINS):
        for arm, right in (("base", 40), ("circuit_ce", 50), ("circuit_ce_attention", 50 + 100 * gain)):
            for i in range(100):
                rows.append(
                    {
                        "task": "entity",
                        "seed": seed,
                        "training_seed": 0,
                        "role": "small",
                        "size": "n64",
                        "arm": arm,
                        "set": "test",
                        "cell": "seen" if i < 60 else "own",
                        "seen_answer": i % 2 == 0,
                        "candidate": i < 80,
                        "correct": i < round(right),
                    }
                )
    return pd.DataFrame(rows)


def test_accuracy_splits_into_naming_a_candidate_and_the_right_one() -> None:
    table = accuracies(outcomes())
    row = table[(table["arm"] == "circuit_ce") & (table["seed"] == 0)].iloc[0]
    assert (row["accuracy"], row["candidate"]) == (0.5, 0.8)
    assert row["right_if_candidate"] == pytest.approx(0.625)
    assert row["unseen_answer"] == pytest.approx(25 / 50)


def test_a_claim_is_judged_over_families() -> None:
    table = accuracies(outcomes())
    claim = RegimeClaim("primary", "n64", "circuit_ce_attention", "circuit_ce")
    assert differences(table, claim, "entity").tolist() == pytest.approx(list(GAINS))
    found = judge(table, "entity")
    row = found[(found["arm"] == claim.arm) & (found["versus"] == claim.versus)].iloc[0]
    assert row["value"] == pytest.approx(np.mean(GAINS))
    assert row["p"] == pytest.approx(stats.ttest_1samp(GAINS, 0).pvalue)
    assert (row["verdict"], row["families"], row["runs_above"]) == ("holds", 5, 5)
    error = np.std(GAINS, ddof=1) / 5**0.5
    assert row["high"] - row["low"] == pytest.approx(2 * stats.t.ppf(0.975, 4) * error)
    assert "of 5" in document(table, found, recall(rule_scores())) and "<svg" in corners_svg(corners(table))


def test_primary_claims_are_corrected_among_themselves() -> None:
    found = judge(accuracies(outcomes()), "entity")
    primary, other = (found[(found["group"] == "primary") == is_it] for is_it in (True, False))
    assert primary["p_holm"].tolist() == pytest.approx(holm(primary["p"]).tolist())
    assert other["p_holm"].isna().all() or other["p_holm"].tolist() == pytest.approx(
        holm(other["p"]).tolist()
    )


def test_the_weak_cell_is_a_set_of_its_own() -> None:
    """60 of 100 prompts, of which CE is right on 50."""
    table = accuracies(outcomes())
    row = table[(table["arm"] == "circuit_ce") & (table["seed"] == 0) & (table["set"] == "seen")].iloc[0]
    assert row["accuracy"] == pytest.approx(50 / 60)


def test_students_and_draws_of_a_family_are_one_unit() -> None:
    """Three copies of every run do not make a claim surer."""
    rows = outcomes()
    thrice = pd.concat([rows.assign(training_seed=draw) for draw in range(3)])
    claim = RegimeClaim("primary", "n64", "circuit_ce_attention", "circuit_ce")
    once, again = (judge(accuracies(part), "entity").iloc[0] for part in (rows, thrice))
    assert once["arm"] == claim.arm and again["runs"] == 3 * once["runs"]
    assert again["p"] == pytest.approx(once["p"])


def test_one_family_has_no_test() -> None:
    assert np.isnan(family_test(np.array([0.1]))).all()


@pytest.mark.parametrize("task", ["entity", "tom"])
def test_claims_name_arms_that_exist_and_none_twice(task: str) -> None:
    claims = list(declared(task))
    assert len(set(claims)) == len(claims)
    assert {claim.arm for claim in claims} | {claim.versus for claim in claims} <= {*ARMS, "base"}
