"""The search's choice and its equal budgets."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from pydantic import ValidationError

from circuit_distillation.arms import PAPER_ARMS
from circuit_distillation.parameters.study import Search
from circuit_distillation.study.search import chosen_block, summarise, summarise_shared


def trials(arms: dict[str, dict[str, list[float]]], students=("small", "medium")) -> pd.DataFrame:
    """Rows of a search: arm -> changes -> accuracy of each student."""
    return pd.DataFrame(
        [
            {
                "task": "tom", "seed": 0, "student": student, "arm": arm, "changes": changes,
                "full_accuracy": value, "circuit_accuracy": value, "balanced_accuracy": value,
                "ce": 1.0, "similarity": 0.5,
            }
            for arm, of in arms.items()
            for changes, values in of.items()
            for student, value in zip(students, values, strict=True)
        ]
    )  # fmt: skip


def test_the_best_mean_over_students_is_chosen_and_the_first_wins_a_tie():
    summary = summarise(
        trials({"a": {"x": [0.5, 0.7], "y": [0.9, 0.2]}, "b": {"x": [0.4, 0.4], "y": [0.3, 0.5]}})
    )
    assert summary[summary["chosen"]][["arm", "changes"]].to_numpy().tolist() == [["a", "x"], ["b", "x"]]
    assert summary["full_accuracy"].tolist() == pytest.approx([0.6, 0.55, 0.4, 0.4])


def test_arms_with_labels_get_the_one_rate_that_is_best_for_all_of_them():
    low, high, other = ({"learning_rate_heads": rate} for rate in (1e-4, 1e-3, 1e-2))
    accuracy = {
        "circuit_ce": [(low, 0.5), (high, 0.6), (other, 0.9)],  # 0.9 at a rate that the others did not try
        "circuit_ce_rand_cka": [(low, 0.4), (high, 0.7), (high | {"cka_weight": 5.0}, 0.65)],
        "circuit_ce_align_cka": [(low, 0.8), (high, 0.7), (high | {"cka_weight": 5.0}, 0.75)],
        "circuit_align_cka": [(low, 0.6), (high, 0.1), (other, 0.0)],
    }
    summary = summarise(
        trials({arm: {json.dumps(changes): [v, v] for changes, v in of} for arm, of in accuracy.items()})
    )
    chosen = {row["arm"]: json.loads(row["changes"]) for row in summary[summary["chosen"]].to_dict("records")}
    assert chosen == {  # (0.6 + 0.7 + 0.75) / 3 > (0.5 + 0.4 + 0.8) / 3
        "circuit_ce": high,
        "circuit_ce_rand_cka": high,
        "circuit_ce_align_cka": high | {"cka_weight": 5.0},
        "circuit_align_cka": low,
    }


def test_unequal_budgets_are_refused():
    rows = trials({"a": {"x": [0.5, 0.7], "y": [0.9, 0.2]}, "b": {"x": [0.4, 0.4]}})
    with pytest.raises(ValueError, match="more trials than others"):
        summarise(rows)
    with pytest.raises(ValueError, match="more trials than others"):
        summarise(trials({"a": {"x": [0.5, 0.7], "y": [0.9, 0.2]}}).head(3))


def test_every_arm_must_have_as_many_declared_trials():
    even = {arm: ({"learning_rate_heads": 1e-3},) for arm in PAPER_ARMS}
    assert Search(training_seed=3, shared=({},), trials=even)
    for uneven in (even | {"full_ce": even["full_ce"] * 2}, {arm: () for arm in PAPER_ARMS}):
        with pytest.raises(ValidationError, match="as many trials as any other"):
            Search(training_seed=3, shared=({},), trials=uneven)
    apart = even | {"circuit_ce": ({"learning_rate_heads": 1e-4},)}
    with pytest.raises(ValidationError, match="no learning_rate_heads is tried by all"):
        Search(training_seed=3, shared=({},), trials=apart)


def test_what_all_arms_share_is_chosen_by_the_mean_over_arms_and_students():
    rows = trials({arm: {"{}": [0.5, 0.5], '{"epochs": 6}': [0.3, 0.9]} for arm in ("a", "b")})
    shared = summarise_shared(rows)
    assert shared["full_accuracy"].tolist() == pytest.approx([0.5, 0.6])
    assert shared["trainings"].tolist() == [4, 4]
    block = chosen_block(shared, summarise(trials({"a": {'{"cka_weight": 2.0}': [0.5, 0.5]}})))
    assert block == {"tom": {"shared": {"epochs": 6}, "arms": {"a": {"cka_weight": 2.0}}}}


def test_the_shipped_settings_are_those_that_the_published_search_chose():
    """The rate of CE on all weights is that of more draws, since the search has one."""
    root = Path(__file__).parents[2]
    found = root / "docs/replication/mini"
    published = chosen_block(pd.read_csv(found / "search_shared.csv"), pd.read_csv(found / "search.csv"))
    draws = pd.read_csv(found / "full_ce_draws.csv").groupby("changes")["full_accuracy"].mean()
    assert json.loads(draws.idxmax()).pop("batch_size") == published["entity"]["shared"]["batch_size"]
    rate = {"learning_rate_full": json.loads(draws.idxmax())["learning_rate_full"]}
    published["entity"]["arms"]["full_ce"] = rate
    chosen = yaml.safe_load((root / "conf/base/parameters_search.yml").read_text())["chosen"]
    assert chosen == {"mini": published}
