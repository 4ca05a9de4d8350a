"""The tables of the regimes, from stored runs."""

from __future__ import annotations

import pytest

from circuit_distillation.parameters.regimes import Regimes
from circuit_distillation.pipelines.regimes.nodes import summarise
from tests.study.test_recall import stored_scores
from tests.study.test_regime_claims import outcomes


def test_of_an_experiment_all_families_but_that_of_the_search_are_judged(shipped) -> None:
    regimes = Regimes(**shipped["regimes"])
    runs = outcomes()
    stored = {
        f"seed{seed}/entity/paper/regimes/n64": lambda own=own: own for seed, own in runs.groupby("seed")
    }
    other = runs[runs["seed"] == runs["seed"].min()].assign(seed=77)
    stored["seed77/entity/paper2.training1/regimes/n64"] = lambda: other
    scores = stored_scores() | {"seed77/entity/paper2/small": next(iter(stored_scores().values()))}
    assert regimes.search_seed in set(runs["seed"])
    table, claims, found, *_ = summarise(stored, scores, regimes, "paper")
    assert set(table["seed"]) == set(runs["seed"]) - {regimes.search_seed}
    assert claims["families"].max() == runs["seed"].nunique() - 1
    assert found["families"].max() == len(stored_scores())
    table, _, found, *_ = summarise(stored, scores, regimes, "paper2")
    assert set(table["seed"]) == {77} and set(found["families"]) == {1}


def test_without_runs_the_command_that_makes_them_is_named(shipped) -> None:
    with pytest.raises(ValueError, match="make regimes"):
        summarise({}, stored_scores(), Regimes(**shipped["regimes"]), "paper")
