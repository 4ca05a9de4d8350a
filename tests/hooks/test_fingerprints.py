"""A file made of the rows of all runs counts as current only while they are those that it was made of."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from circuit_distillation.datasets.files import TextDataset
from circuit_distillation.datasets.rows import RowsDataset
from circuit_distillation.fingerprints.plan import Planner
from circuit_distillation.hooks.fingerprints import FingerprintHooks

TOLD = {"task": "tom", "family": {"name": "mini"}}


def add_rows(folder: Path, task: str, value: int = 1) -> RowsDataset:
    """As a run of the task would."""
    rows = RowsDataset(str(folder / "rows.csv"), task)
    rows.save(pd.DataFrame({"task": [task], "seed": 0, "experiment": "paper", "value": [value]}))
    return rows


class LateRows(RowsDataset):
    """Another run adds its rows once this one has read them."""

    def load(self) -> pd.DataFrame:
        rows = super().load()
        add_rows(Path(self._filepath).parent, "entity")
        return rows


def catalog_of(folder: Path, rows: type = RowsDataset) -> DataCatalog:
    table = rows(str(folder / "rows.csv"), "tom")
    return DataCatalog({"rows": table, "page": TextDataset(filepath=str(folder / "page.html"))})


def write_page(folder: Path, meanwhile: Callable[[], object] = lambda: None, rows: type = RowsDataset) -> str:
    """Run the node that makes a page of the rows; the state in which a run for what is missing finds it."""

    def render(table: pd.DataFrame) -> str:
        meanwhile()
        return table.to_html()

    catalog = catalog_of(folder, rows)
    pipeline = Pipeline([Node(render, "rows", "page", name="write")])
    hooks, manager = FingerprintHooks(), _create_hook_manager()
    hooks._told = TOLD
    manager.register(hooks)
    hooks.before_pipeline_run({}, pipeline, catalog)
    SequentialRunner().run(pipeline, catalog, manager)
    return state(folder)


def state(folder: Path) -> str:
    """Of the node that makes the page."""
    node = Node(lambda table: "", "rows", "page", name="write")
    return Planner([node], catalog_of(folder), TOLD).verdicts()["write"].state


@pytest.fixture
def folder(tmp_path) -> Path:
    """With the rows of one run."""
    bootstrap_project(Path(__file__).parents[2])
    add_rows(tmp_path, "tom")
    return tmp_path


def test_a_page_without_the_rows_of_a_run_beside_it_is_not_current(folder):
    assert write_page(folder, lambda: add_rows(folder, "entity")) == "stale"
    assert write_page(folder) == "fresh"


def test_nor_is_one_whose_rows_were_read_just_before_another_run_added_its_own(folder):
    assert write_page(folder, rows=LateRows) == "stale"


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_was_set_changes_nothing(folder, hours):
    write_page(folder)
    moved = (folder / "rows.csv").stat().st_mtime + 3600 * hours
    os.utime(folder / "rows.csv", (moved, moved))
    assert state(folder) == "fresh"
    add_rows(folder, "tom", 2)
    os.utime(folder / "rows.csv", (moved, moved))
    assert state(folder) == "stale"


def test_rows_of_another_run_make_nothing_stale_that_reads_its_own_alone(folder):
    """Here a page of the run's own rows and one of all."""
    own = RowsDataset(str(folder / "rows.csv"), "tom", own_rows=True)
    pages = {name: TextDataset(filepath=str(folder / f"{name}.html")) for name in ("own_page", "page")}
    catalog = DataCatalog({"own": own, "rows": RowsDataset(str(folder / "rows.csv"), "tom"), **pages})
    pipeline = Pipeline(
        [
            Node(pd.DataFrame.to_html, "own", "own_page", name="of_own"),
            Node(pd.DataFrame.to_html, "rows", "page", name="of_all"),
        ]
    )
    hooks, manager = FingerprintHooks(), _create_hook_manager()
    hooks._told = TOLD
    manager.register(hooks)
    hooks.before_pipeline_run({}, pipeline, catalog)
    SequentialRunner().run(pipeline, catalog, manager)

    def states() -> dict[str, str]:
        return {
            name: verdict.state
            for name, verdict in Planner(pipeline.nodes, catalog, TOLD).verdicts().items()
        }

    assert states() == {"of_own": "fresh", "of_all": "fresh"}
    add_rows(folder, "entity")
    assert states() == {"of_own": "fresh", "of_all": "stale"}
    add_rows(folder, "tom", 2)
    assert states() == {"of_own": "stale", "of_all": "stale"}
