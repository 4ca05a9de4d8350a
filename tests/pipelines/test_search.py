"""The two rounds of the search through its own pipeline, with trials whose accuracies are made up."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from circuit_distillation import grid
from circuit_distillation.arms import PAPER_ARMS
from circuit_distillation.datasets.rows import RowsDataset
from circuit_distillation.parameters.study import Search
from circuit_distillation.pipelines.search import nodes
from circuit_distillation.pipelines.search.pipeline import create_search, create_sweeps

RATES = ({"learning_rate_heads": 1e-4}, {"learning_rate_heads": 1e-3})
SEARCH = Search(
    training_seed=3, trials={arm: RATES for arm in PAPER_ARMS}, shared=({}, {"epochs": 6}, {"fraction": 0.1})
)


def trial(case, arm: str, changes: dict, beside: dict) -> dict:
    """A row whose accuracy follows the settings: the second rate suits `full_ce` alone, six epochs all."""
    settings = beside | changes
    fast = settings["learning_rate_heads"] == 1e-3
    accuracy = 0.5 + (0.1 if fast == (arm == "full_ce") else 0) + (0.2 if settings.get("epochs") else 0)
    measures = dict.fromkeys(("circuit_accuracy", "balanced_accuracy", "ce", "similarity"), accuracy)
    return {"arm": arm, "changes": json.dumps(dict(changes)), "full_accuracy": accuracy, **measures}


@pytest.fixture
def tables(monkeypatch, tmp_path) -> dict[str, pd.DataFrame]:
    """Both summaries of a search."""
    monkeypatch.setattr(nodes, "_undecided", lambda *_: None)
    monkeypatch.setattr("circuit_distillation.study.trials.run_trial", trial)
    search = create_search()
    given = {name: "" for name in search.inputs()} | {
        "params:search.training_seed": 3, "params:search.shared": SEARCH.shared,
        "params:task": "tom", "params:seed": 0, "params:experiment": "NA",
        **{f"params:names.{arm}": arm for arm in PAPER_ARMS},
        **{f"params:search.trials.{arm}": SEARCH.trials[arm] for arm in PAPER_ARMS},
        **{f"params:family.roles.{role}.name": role for role in grid.students()},
    }  # fmt: skip
    names = ("search_summary", "search_shared")
    kept = {name: RowsDataset(str(tmp_path / f"{name}.csv"), "tom_seed0_NA", own_rows=True) for name in names}
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in given.items()} | kept)
    SequentialRunner().run(search, catalog)
    return {name: dataset.load() for name, dataset in kept.items()}


def test_each_arm_has_its_own_choice(tables):
    chosen = tables["search_summary"].query("chosen").set_index("arm")["changes"].map(json.loads)
    assert chosen.to_dict() == {arm: RATES[arm == "full_ce"] for arm in PAPER_ARMS}
    assert set(tables["search_summary"]["experiment"]) == {"NA"}


def test_what_all_share_is_tried_beside_it(tables):
    shared = tables["search_shared"].set_index("changes")
    assert shared["full_accuracy"].to_dict() == pytest.approx(
        {"{}": 0.6, '{"epochs": 6}': 0.8, '{"fraction": 0.1}': 0.6}
    )
    assert shared.index[shared["chosen"]].tolist() == ['{"epochs": 6}']
    assert set(shared["trainings"]) == {len(PAPER_ARMS) * len(grid.students())}


def test_a_trial_more_concerns_its_arm_alone():
    for node in create_search().nodes + create_sweeps().nodes:
        given = {name for name in node.inputs if name.startswith("params:search")}
        own = {f"params:search.trials.{arm}" for arm in PAPER_ARMS if f".{arm}." in node.name}
        assert given <= own | {"params:search.training_seed", "params:search.shared"}, node.name
    of_sweeps = {name for name in create_sweeps().inputs() if name.startswith("params:search")}
    assert of_sweeps == {"params:search.training_seed"}
