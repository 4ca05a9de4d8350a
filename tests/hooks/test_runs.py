"""Runs at work on one data folder: who is told, what a killed one leaves, what the next one cleans."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline

from circuit_distillation.datasets.files import JSONDataset
from circuit_distillation.hooks.live_runs import BusyError, enter, remove_leftovers
from circuit_distillation.hooks.runs import ConcurrentRunError, RunHooks

HELD = """
import sys, time
from pathlib import Path
from circuit_distillation.hooks.live_runs import enter
run = enter(Path(sys.argv[1]), "task=entity", ["in"], ["out"])
print("entered", flush=True)
time.sleep(60)
"""


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
def test_a_second_run_on_the_same_files_is_told_until_the_first_is_killed(tmp_path, other, reads, writes):
    message = rf"another run \(task=entity, process {other.pid}, since .*\) is at work on 1 of the same files"
    with pytest.raises(BusyError, match=message):
        enter(tmp_path, "task=entity", reads, writes)
    other.send_signal(signal.SIGKILL)
    other.wait()
    run = enter(tmp_path, "task=entity", reads, writes)
    assert run.alone and len(list((tmp_path / ".runs").glob("*.json"))) == 1
    run.leave()
    assert not list((tmp_path / ".runs").glob("*.json"))


def test_runs_that_do_not_meet_work_side_by_side(tmp_path, other):
    run = enter(tmp_path, "task=tom", ["in"], ["elsewhere"])
    assert not run.alone
    run.leave()


def test_leftovers_of_killed_saves_are_removed_and_nothing_else(tmp_path):
    kept = [tmp_path / name for name in ("t.json", ".t.json.lock", ".other.json.abc", ".t.jsonx")]
    left = [tmp_path / ".t.json.abc.json", tmp_path / ".t.json.123"]
    for path in (*kept, *left):
        path.write_text("")
    (tmp_path / ".t.json.dir").mkdir()
    removed = remove_leftovers([tmp_path / "t.json", tmp_path / "absent" / "t.json"])
    assert sorted(removed) == sorted([*left, tmp_path / ".t.json.dir"])
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_the_seal_of_a_file_named_as_a_folder_stays(tmp_path):
    (tmp_path / "small").mkdir()
    for name in ("small.json", ".small.json.sha256", ".small.gone.sha256"):
        (tmp_path / name).write_text("")
    assert remove_leftovers([tmp_path / "small"]) == [tmp_path / ".small.gone.sha256"]
    assert (tmp_path / ".small.json.sha256").exists()


def hook_of(data_root: Path) -> RunHooks:
    hook = RunHooks()
    parameters = {"data_root": str(data_root), "task": "tom", "seed": 0, "experiment": "paper"}
    loader = {"parameters": parameters}
    hook.after_context_created(SimpleNamespace(config_loader=loader, project_path="/"))
    return hook


def test_a_run_holds_what_it_writes_until_it_ends(tmp_path):
    catalog = DataCatalog({name: JSONDataset(filepath=str(tmp_path / f"{name}.json")) for name in "ab"})
    pipeline = Pipeline([Node(lambda: 1, None, "a", name="one"), Node(lambda a: a, "a", "b", name="two")])
    (tmp_path / ".a.json.killed").write_text("")
    first, second = hook_of(tmp_path), hook_of(tmp_path)
    first.before_pipeline_run({}, pipeline, catalog)
    assert not (tmp_path / ".a.json.killed").exists()
    with pytest.raises(ConcurrentRunError, match=r"another run \(task=tom, seed=0, experiment=paper"):
        second.before_pipeline_run({}, pipeline, catalog)
    first.on_pipeline_error()
    second.before_pipeline_run({}, pipeline, catalog)
    second.after_pipeline_run()
    assert not list((tmp_path / ".runs").glob("*.json"))


def test_a_run_that_makes_nothing_meets_nobody(tmp_path):
    catalog = DataCatalog({"a": JSONDataset(filepath=str(tmp_path / "a.json"))})
    catalog.save("a", 1)
    pipeline = Pipeline([Node(lambda: 1, None, "a", name="one")])
    first, second = hook_of(tmp_path), hook_of(tmp_path)
    first.before_pipeline_run({}, pipeline, catalog)
    second.before_pipeline_run({"only_missing_outputs": True}, pipeline, catalog)
    first.after_pipeline_run()
