"""The tables of the regimes, from stored runs."""

from __future__ import annotations

import pytest

from circuit_distillation.parameters.regimes import Regimes
from circuit_distillation.pipelines.regimes.nodes import summarise
from tests.study.test_recall import stored_scores
from tests.study.test_regime_claims import outcomes


def test_of_an_experiment_all_families_but_that_of_the_search_are_judged(shipped) -> None:
    regimes = Regimes(**shipped["regimes"])
    runs = outcomes().assign(experiment="paper")
    stored = {f"seed{seed}": lambda own=own: own for seed, own in runs.groupby("seed")}
    other = runs[runs["seed"] == runs["seed"].min()].assign(seed=77, experiment="other")
    stored["seed77"] = lambda: other
    assert regimes.search_seed in set(runs["seed"])
    table, claims, *_ = summarise(stored, stored_scores(), regimes, "paper")
    assert set(table["seed"]) == set(runs["seed"]) - {regimes.search_seed}
    assert claims["families"].max() == runs["seed"].nunique() - 1
    assert set(summarise(stored, stored_scores(), regimes, "other")[0]["seed"]) == {77}


def test_without_runs_the_command_that_makes_them_is_named(shipped) -> None:
    with pytest.raises(ValueError, match="make regimes"):
        summarise({}, stored_scores(), Regimes(**shipped["regimes"]), "paper")
