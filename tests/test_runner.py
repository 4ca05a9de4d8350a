"""What the runner executes, skips or takes from another experiment, by what is stored at its turn."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from circuit_distillation.datasets.files import JSONDataset, TextDataset
from circuit_distillation.datasets.rows import RowsDataset
from circuit_distillation.fingerprints.artifacts import Artifact
from circuit_distillation.fingerprints.plan import Planner
from circuit_distillation.fingerprints.record import Made, write_record
from circuit_distillation.fingerprints.twins import take
from circuit_distillation.runner import ArtifactRunner
from circuit_distillation.storage.folders import new_folder

PARAMETERS = {"task": "tom", "family": {"name": "mini"}}


class Experiment:
    """Two arms over one mapping, in the folder of an experiment; `ran` has the nodes of the last run."""

    def __init__(self, folder: Path, name: str, **parameters) -> None:
        self.ran: list[str] = []
        values = {"weight": 1, "rule": "nearest", **parameters}
        self.values = {**PARAMETERS, "experiment": name, "training_seed": 0, **values}
        stored = ("mapping", "heads", "ce", "cka", "tracked", "table")
        own = folder / "seed0" / "tom" / name
        self.files = {key: JSONDataset(filepath=str(own / f"{key}.json")) for key in stored}
        self.cache = JSONDataset(filepath=str(folder / "signals" / "cache.json"))
        self.cache.is_cache = True
        keys = ("weight", "rule", "experiment")
        given = {f"params:{key}": MemoryDataset(self.values[key]) for key in keys}
        parameters = {"parameters": MemoryDataset(self.values)}
        self.catalog = DataCatalog({**self.files, "cache": self.cache, **given, **parameters})
        self.pipeline = Pipeline(
            [
                self._node("map", lambda rule: [rule, {"heads": 3}], "params:rule", ["mapping", "heads"]),
                self._node("fill", lambda: "signals", None, "cache"),
                self._node("train_ce", lambda heads, cache: [heads, cache], ["heads", "cache"], "ce"),
                self._node("train_cka", lambda *of: list(of), ["mapping", "cache", "params:weight"], "cka"),
                self._node("track", lambda *of: list(of), ["ce", "params:experiment"], "tracked"),
                self._node("tabulate", lambda *of: list(of), ["ce", "cka"], "table"),
            ]
        )

    def _node(self, name: str, function: Callable, inputs, outputs) -> Node:
        def run(*given):
            self.ran.append(name)
            return function(*given)

        return Node(run, inputs, outputs, name=name)

    def run(self, only_missing: bool = True) -> set[str]:
        """The names of the nodes that were executed."""
        self.ran.clear()
        manager = _create_hook_manager()
        ArtifactRunner().run(self.pipeline, self.catalog, manager, only_missing_outputs=only_missing)
        return set(self.ran)

    def states(self) -> dict[str, str]:
        verdicts = Planner(self.pipeline.nodes, self.catalog).verdicts()
        return {name: verdict.state for name, verdict in verdicts.items()}

    def path(self, name: str) -> Path:
        return Path(self.files[name]._filepath)


@pytest.fixture
def paper(tmp_path) -> Experiment:
    """An experiment that has run."""
    experiment = Experiment(tmp_path, "paper")
    assert len(experiment.run()) == 6 and experiment.run() == set()
    return experiment


def test_without_the_option_all_runs(paper):
    assert len(paper.run(only_missing=False)) == 6 and paper.run() == set()


def test_a_node_whose_inputs_were_made_again_with_equal_content_does_not_run(paper, tmp_path):
    paper.path("heads").unlink()
    assert paper.states()["train_ce"] == "follows"
    assert paper.run() == {"map"}
    assert paper.run() == set()
    other = Experiment(tmp_path, "paper", rule="profile")
    assert other.run() == {"map", "train_cka", "tabulate"}  # the heads are the same


def test_an_experiment_takes_what_it_does_not_change(paper, tmp_path, caplog):
    other = Experiment(tmp_path, "weighted", weight=5)
    assert other.states() == {
        "map": "taken",
        "fill": "fresh",
        "train_ce": "taken",
        "train_cka": "missing",
        "track": "missing",
        "tabulate": "missing",
    }
    with caplog.at_level(logging.INFO, "circuit_distillation"):
        assert other.run() == {"train_cka", "track", "tabulate"}
    assert "train_ce: taken from experiment paper" in caplog.messages
    assert other.path("ce").samefile(paper.path("ce")) and not other.path("cka").samefile(paper.path("cka"))
    assert other.catalog.load("ce") == paper.catalog.load("ce")
    assert other.run() == paper.run() == set()


def test_another_rule_trains_what_needs_the_pairs_alone(paper, tmp_path):
    other = Experiment(tmp_path, "profiled", rule="profile")
    assert other.states()["train_ce"] == "missing"  # that the heads stay is seen later
    assert other.run() == {"map", "train_cka", "track", "tabulate"}
    assert other.path("ce").samefile(paper.path("ce"))


def test_what_was_taken_outlives_its_source_and_a_change_of_it(paper, tmp_path):
    other = Experiment(tmp_path, "weighted", weight=5)
    other.run()
    Experiment(tmp_path, "paper", rule="profile", weight=2).run()
    paper.path("ce").unlink()
    assert other.run() == set() and other.catalog.load("mapping") == "nearest"


def test_what_is_broken_or_of_other_settings_is_not_taken(paper, tmp_path):
    path, status = paper.path("ce"), paper.path("ce").stat()
    path.write_text("[]")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as a disk that lost bits would leave it
    other = Experiment(tmp_path, "weighted", weight=5)
    assert other.states()["train_ce"] == "taken"
    assert "train_ce" in other.run() and other.catalog.load("ce") == [{"heads": 3}, "signals"]


def test_a_cache_is_filled_for_a_reader_that_runs(paper):
    Path(paper.cache._filepath).unlink()
    assert paper.run() == set()
    paper.path("ce").unlink()
    assert paper.run() == {"fill", "train_ce"}


def test_a_folder_is_taken_with_its_seal(tmp_path):
    for name in ("paper", "copied"):
        (tmp_path / name).mkdir()
    with new_folder(tmp_path / "paper" / "student") as folder:
        (folder / "config.json").write_text("{}")
    paper, own = (Artifact(tmp_path / name / "student") for name in ("paper", "copied"))
    made = Made({}, {}, {})
    write_record(paper, made, "train")
    assert take(own, paper, made)
    assert (own.path / "config.json").samefile(paper.path / "config.json")
    assert not (own.path / "checksums.json").samefile(paper.path / "checksums.json")
    assert not take(own, paper, Made({"seed": 1}, {}, {})) and not own.path.exists()  # replaced meanwhile
    assert take(own, paper, made)
    with new_folder(paper.path) as folder:
        (folder / "config.json").write_text("{ }")
    assert not take(own, paper, made) and not own.path.exists()
    shutil.rmtree(paper.path)
    assert not take(own, paper, made)


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


def catalog_of(folder: Path, kind: type = RowsDataset, **datasets) -> DataCatalog:
    table = kind(str(folder / "rows.csv"), "tom")
    page = TextDataset(filepath=str(folder / "page.html"))
    return DataCatalog({"rows": table, "page": page, "parameters": MemoryDataset(PARAMETERS), **datasets})


def write_page(folder: Path, meanwhile: Callable[[], object] = lambda: None, rows: type = RowsDataset) -> str:
    """Run the node that makes a page of the rows; the state in which a run for what is missing finds it."""

    def render(table: pd.DataFrame) -> str:
        meanwhile()
        return table.to_html()

    pipeline = Pipeline([Node(render, "rows", "page", name="write")])
    ArtifactRunner().run(pipeline, catalog_of(folder, rows), _create_hook_manager())
    return state(folder)


def state(folder: Path) -> str:
    """Of the node that makes the page."""
    node = Node(lambda table: "", "rows", "page", name="write")
    return Planner([node], catalog_of(folder)).verdicts()["write"].state


@pytest.fixture
def folder(tmp_path) -> Path:
    """With the rows of one run."""
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
    catalog = catalog_of(folder, own=own, own_page=TextDataset(filepath=str(folder / "own_page.html")))
    pipeline = Pipeline(
        [
            Node(pd.DataFrame.to_html, "own", "own_page", name="of_own"),
            Node(pd.DataFrame.to_html, "rows", "page", name="of_all"),
        ]
    )
    ArtifactRunner().run(pipeline, catalog, _create_hook_manager())

    def states() -> dict[str, str]:
        return {name: verdict.state for name, verdict in Planner(pipeline.nodes, catalog).verdicts().items()}

    assert states() == {"of_own": "fresh", "of_all": "fresh"}
    add_rows(folder, "entity")
    assert states() == {"of_own": "fresh", "of_all": "stale"}
    add_rows(folder, "tom", 2)
    assert states() == {"of_own": "stale", "of_all": "stale"}
