"""Runs at work on one data folder: which is refused, what a killed one leaves, what the next one cleans."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from circuit_distillation.datasets.files import JSONDataset
from circuit_distillation.hooks.live_runs import BusyError, enter
from circuit_distillation.hooks.runs import RUNNER, ConcurrentRunError, RunHooks

HELD = """
import sys, time
from pathlib import Path
from circuit_distillation.hooks.live_runs import enter
run = enter(Path(sys.argv[1]), "task=entity", ["in"], ["out"])
print("entered", flush=True)
time.sleep(60)
"""
PARAMETERS = {"task": "tom", "seed": 0, "experiment": "paper", "training_seed": 0, "family": {"name": "mini"}}
RUN = {"runner": f"<{RUNNER} object at 0x0>", "load_versions": None, "only_missing_outputs": False}


@pytest.fixture
def other(tmp_path):
    """Another process whose run is entered in `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HELD, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout.readline() == "entered\n"
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize(("reads", "writes"), [([], ["out"]), (["out"], []), ([], ["in"])])
def test_a_second_run_on_the_same_files_is_refused_until_the_first_is_killed(tmp_path, other, reads, writes):
    message = rf"another run \(task=entity, process {other.pid}, since .*\) is at work on 1 of the same files"
    with pytest.raises(BusyError, match=message):
        enter(tmp_path, "task=entity", reads, writes)
    other.send_signal(signal.SIGKILL)
    other.wait()
    run = enter(tmp_path, "task=entity", reads, writes)
    assert run.alone and len(list((tmp_path / ".runs").glob("*.json"))) == 1
    run.leave()
    assert [path.name for path in (tmp_path / ".runs").iterdir()] == [".all.lock"]


def test_runs_that_do_not_meet_work_side_by_side(tmp_path, other):
    run = enter(tmp_path, "task=tom", ["in"], ["elsewhere"])
    assert not run.alone
    run.leave()


def hook_of(data_root: Path) -> RunHooks:
    hook = RunHooks()
    parameters = PARAMETERS | {"data_root": str(data_root)}
    hook.after_context_created(SimpleNamespace(config_loader={"parameters": parameters}, project_path="/"))
    return hook


def catalog_of(folder: Path, names: str) -> DataCatalog:
    files = {name: JSONDataset(filepath=str(folder / f"{name}.json")) for name in names}
    return DataCatalog({**files, "parameters": MemoryDataset(PARAMETERS)})


def test_a_run_holds_what_it_writes_until_it_ends(tmp_path):
    catalog = catalog_of(tmp_path, "ab")
    pipeline = Pipeline([Node(lambda: 1, None, "a", name="one"), Node(lambda a: a, "a", "b", name="two")])
    (tmp_path / ".a.json.killed").write_text("")
    first, second = hook_of(tmp_path), hook_of(tmp_path)
    first.before_pipeline_run(RUN, pipeline, catalog)
    assert not (tmp_path / ".a.json.killed").exists()
    with pytest.raises(ConcurrentRunError, match=r"another run \(task=tom, seed=0, experiment=paper"):
        second.before_pipeline_run(RUN, pipeline, catalog)
    first.on_pipeline_error()
    assert not list((tmp_path / ".runs").glob("*.json"))
    second.before_pipeline_run(RUN, pipeline, catalog)
    second.after_pipeline_run()
    assert not list((tmp_path / ".runs").glob("*.json"))


def test_a_run_that_makes_nothing_meets_nobody(tmp_path):
    catalog = catalog_of(tmp_path, "a")
    catalog.save("a", 1)
    pipeline = Pipeline([Node(lambda: 1, None, "a", name="one")])
    first, second = hook_of(tmp_path), hook_of(tmp_path)
    first.before_pipeline_run(RUN, pipeline, catalog)
    second.before_pipeline_run(RUN | {"only_missing_outputs": True}, pipeline, catalog)
    first.after_pipeline_run()
