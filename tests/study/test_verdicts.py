"""The claims table against a study whose every value is known."""

from __future__ import annotations

import numpy as np
import pytest

from circuit_distillation.study.claims import RUN_CLAIMS, paper_value
from circuit_distillation.study.outcomes import outcome_table
from circuit_distillation.study.verdicts import claims_table, interval_verdict, verdict

from . import synthetic


@pytest.fixture(scope="module")
def both_tasks():
    """Claims of the made-up study."""
    return claims_table(
        outcome_table(synthetic.stored()), synthetic.histories(), synthetic.circuits(), n_resamples=200
    )


@pytest.fixture(scope="module")
def table(both_tasks):
    """Those of entity tracking, by claim."""
    return both_tasks[both_tasks["task"] == "entity"].set_index("claim")


def test_values_are_those_worked_out_by_hand(table):
    by_hand = {
        "align_beats_ce": 0.80 - 0.74,
        "align_beats_ce_circuit": 0.78 - 0.70,
        "align_beats_full_ce": 0.80 - 0.75,
        "random_pairs_harm": 0.60 - 0.50,
        "align_beats_random_pairs": 0.80 - 0.50,
        "align_alone_keeps_base": 0.58 - 0.60 + 0.05,
        "gains_in_circuit": (0.75 - 0.60) - (0.80 - 0.78),
        "few_heads_suffice": 0.74 - 0.75 + 0.02,
        "less_time": 0.4,
        "circuit_faithful": 0.81 / 0.90,
        "random_near_zero": 0.02 - 0.025,  # the constant answer is right twice in a hundred
        "tuning_strengthens": 0.81 - 0.60,
        "same_circuit": 0.75,
        "few_parameters": 0.9,
    }
    for claim, value in by_hand.items():
        assert table.loc[claim, "value"] == pytest.approx(value), claim


def test_ce_is_compared_over_the_tenth_of_the_steps_before(table):
    # At step 17 to 20 of 40: mean of 2 - s / 20 against 2 - s / 10.
    assert table.loc["faster_at_half", "value"] == pytest.approx(
        np.mean([s / 10 - s / 20 for s in range(17, 21)])
    )
    # The slower arm reaches 0 at step 40 alone: 0.15, 0.10, 0.05, 0.
    assert table.loc["lower_final_ce", "value"] == pytest.approx(0.075)


def test_nine_runs_and_eleven_tests_can_pass_holm(table):
    runs = table[table["unit"] == "run"]
    assert len(runs) == len(RUN_CLAIMS) <= 12 and (runs["n"] == 9).all()
    assert runs["p"].tolist() == pytest.approx([2 / 512] * len(runs))
    assert (runs["p_holm"] < 0.05).all()
    assert (runs["verdict"] == "holds").all()


def test_claims_about_families_have_an_interval_and_no_test(table):
    families = table[table["unit"] == "family"]
    assert (families["n"] == 3).all() and families["p"].isna().all()
    assert (
        families.loc["same_circuit", "verdict"] == "holds"
        and families.loc["few_parameters", "verdict"] == "holds"
    )


def test_stability_is_judged_by_families_that_measured_it(table):
    assert "stable_circuit" not in table.index
    heads = synthetic.circuits(("entity",))
    shares = {"base": 0.1, "tuned": 0.96}
    heads["redraws"] = heads["kind"].map(shares).where(heads["seed"] < 2)
    outcomes, histories = outcome_table(synthetic.stored(tasks=("entity",))), synthetic.histories(("entity",))
    claim = claims_table(outcomes, histories, heads, n_resamples=50).set_index("claim").loc["stable_circuit"]
    assert (claim["n"], claim["value"], claim["verdict"]) == (2, pytest.approx(0.96), "holds")


def test_instructions_are_judged_in_theory_of_mind_alone(both_tasks):
    assert both_tasks[both_tasks["claim"] == "instructions_help"]["task"].tolist() == ["tom"]


def test_a_gain_that_changes_sign_between_runs_is_undecided_and_a_loss_does_not_hold():
    bumps = {
        (seed, draw, "circuit_ce"): 6 + 6 * (-1) ** (seed + draw) for seed in range(3) for draw in range(3)
    }
    bumps |= {(seed, draw, "full_ce"): 12 for seed in range(3) for draw in range(3)}
    outcomes = outcome_table(synthetic.stored(bumps, tasks=("entity",)))
    made = claims_table(
        outcomes, synthetic.histories(("entity",)), synthetic.circuits(("entity",)), n_resamples=50
    )
    found = made.set_index("claim")
    assert found.loc["align_beats_ce", "verdict"] == "undecided"
    assert found.loc["align_beats_full_ce", "value"] == pytest.approx(-0.07)
    assert found.loc["align_beats_full_ce", "verdict"] == "does not hold"
    # McNemar, run by run: CE alone is right on 86 or 74, five runs and four; two students each.
    assert found.loc["align_beats_ce", ["mcnemar_better", "mcnemar_worse", "mcnemar_tests"]].tolist() == [
        8,
        10,
        18,
    ]


def test_verdicts_follow_from_the_tests():
    assert verdict(0.02, 0.01, 1.0, 0.01) == "holds"
    assert verdict(0.02, 0.06, 1.0, 0.01) == "undecided"
    assert verdict(-0.02, 0.01, 0.01, 0.01) == "does not hold"
    assert verdict(0.001, 0.5, 0.01, 0.01) == "does not hold"  # shown to be smaller than any gain of interest
    assert verdict(0.004, 0.01, 0.01, 0.01) == "does not hold"  # above 0, and shown to be smaller than that
    assert [interval_verdict(*ends, 0.5) for ends in ((0.6, 0.7), (0.4, 0.6), (0.3, 0.4))] == [
        "holds", "undecided", "does not hold",
    ]  # fmt: skip


def test_paper_values_come_from_its_tables():
    claims = {claim.name: claim for claim in RUN_CLAIMS}
    # Table 1: 0.77 - 0.73 and 0.82 - 0.77.
    assert paper_value(claims["align_beats_ce"], "entity") == pytest.approx(0.045)
    # Table 2: base minus CE + Rand CKA, 0.55 - 0.49 and 0.58 - 0.49.
    assert paper_value(claims["random_pairs_harm"], "tom") == pytest.approx(0.075)
    assert paper_value(claims["faster_at_half"], "entity") is None
