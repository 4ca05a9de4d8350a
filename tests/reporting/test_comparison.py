"""Two experiments compared: counts are those of the stored predictions, refusals say what there is."""

from __future__ import annotations

import pandas as pd
import pytest
from synthetic import predictions

from circuit_distillation.reporting.comparison import compare, to_text

PAPER, OTHER = predictions(seed=1), predictions(seed=2)


def stored(**frames: pd.DataFrame) -> dict:
    paths = {name.replace("__", "/").replace("_at_", "."): frame for name, frame in frames.items()}
    return {path: (lambda frame=frame: frame) for path, frame in paths.items()}


STORED = stored(
    seed0__entity__paper__small_at_circuit_ce=PAPER,
    seed0__entity__lambda05__small_at_circuit_ce=OTHER.sample(frac=1, random_state=0),
    seed0__entity__lambda05_at_training1__small_at_circuit_ce=OTHER,
    seed0__entity__paper__small_at_full_ce=PAPER,
    seed0__entity__paper__small_at_base=PAPER,
    seed0__entity__lambda05__small_at_base=OTHER,
)


def test_students_that_both_have_are_compared_on_the_same_examples():
    table = compare(STORED, "paper", "lambda05")
    assert table[["student", "arm", "scope"]].values.tolist() == [
        ["small", "circuit_ce", "full"],
        ["small", "circuit_ce", "circuit"],
    ]
    full = table.iloc[0]
    assert full["n01"] == (~PAPER["full_correct"] & OTHER["full_correct"]).sum()
    assert full["n10"] == (PAPER["full_correct"] & ~OTHER["full_correct"]).sum()
    gain = OTHER["full_correct"].mean() - PAPER["full_correct"].mean()
    assert full["difference"] == pytest.approx(gain)
    assert full["difference_low"] <= gain <= full["difference_high"]
    assert (full["first"], full["second"]) == ("paper", "lambda05")
    assert (table["p_holm"] >= table["p"]).all()
    text = to_text(table)
    assert "paper" in text and "lambda05" in text and f"{gain:+.3f}" in text


def test_an_unknown_experiment_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match="no predictions of experiment lambda5: there are lambda05, paper"):
        compare(STORED, "paper", "lambda5")


def test_experiments_of_different_runs_have_nothing_to_compare():
    apart = stored(seed0__entity__paper__small_at_full_ce=PAPER, seed1__entity__other__small_at_full_ce=OTHER)
    with pytest.raises(ValueError, match="no student in common"):
        compare(apart, "paper", "other")


def test_other_test_examples_are_refused():
    mixed = STORED | stored(seed0__entity__lambda05__small_at_circuit_ce=OTHER.iloc[1:])
    with pytest.raises(ValueError, match="lambda05/small.circuit_ce were not tested on the same examples"):
        compare(mixed, "paper", "lambda05")
