"""The command line: one line for an error, a way to go on after Ctrl-C, a table of what would run."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kedro.framework.startup import bootstrap_project

from circuit_distillation import cli

ROOT = Path(__file__).parents[1]


@pytest.fixture
def command(monkeypatch):
    """command("run", ...): the outcome of a command in the project's folder."""
    bootstrap_project(ROOT)
    monkeypatch.chdir(ROOT)

    def invoke(name: str, *words: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["kedro", name, *words])
        return CliRunner().invoke(cli.run if name == "run" else cli.cli.commands[name], list(words))

    return invoke


def test_an_error_is_one_line_with_the_fix(command, tmp_path):
    result = command("run", "--env", "test", "--params", f"tsk=tom,data_root={tmp_path}")
    assert result.exit_code == 1 and "Traceback" not in result.output
    said = result.stderr.splitlines()[-1]
    assert said.startswith("Error: unknown parameter `tsk`: did you mean `task`?")
    assert not list(tmp_path.iterdir())


def test_asynchronous_loading_is_refused_in_one_line(command, tmp_path):
    result = command("run", "--env", "test", "--async", "--params", f"task=tom,data_root={tmp_path}")
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert "Error: models cannot be loaded asynchronously: leave out --async" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_failing_node_is_one_line_unless_asked(command, monkeypatch):
    def fail(**_: object) -> None:
        raise ValueError("the split has 3 prompts\n  raise data_generation.groups")

    monkeypatch.setattr(cli.kedro_run, "callback", fail)
    assert "Error: the split has 3 prompts raise data_generation.groups" in command("run").stderr
    assert "Traceback" not in command("run").stderr and "Traceback" in command("run", "--verbose").stderr


def test_a_stopped_run_says_how_to_go_on(command, monkeypatch):
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.kedro_run, "callback", interrupted)
    result = command("run", "--params", "task=tom", "--only-missing-outputs")
    assert result.exit_code == 130
    last = result.stderr.splitlines()[-1]
    assert last == (
        "Stopped. What is finished is kept; go on with `kedro run --params task=tom --only-missing-outputs`"
    )


def test_memory_that_ends_is_one_line(command, monkeypatch):
    def full(**_: object) -> None:
        raise MemoryError("no room for 64 prompts: halve distillation.batch_size")

    monkeypatch.setattr(cli.kedro_run, "callback", full)
    said = command("run").stderr
    assert "Error: no room for 64 prompts: halve distillation.batch_size" in said and "Traceback" not in said


def test_a_stopped_run_says_how_to_go_on_when_mlflow_is_dead_and_as_a_module(command, monkeypatch):
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    def dead(_: str) -> None:
        raise ConnectionError("no route to http://user:secret@127.0.0.1:9/")

    monkeypatch.setattr(cli.kedro_run, "callback", interrupted)
    monkeypatch.setattr("mlflow.end_run", dead)
    monkeypatch.setattr(sys, "argv", ["/lib/circuit_distillation/__main__.py", "--params", "task=tom"])
    result = CliRunner().invoke(cli.run, ["--params", "task=tom"])
    assert result.exit_code == 130 and result.stderr.splitlines()[-2:] == [
        "Stopped. What is finished is kept; go on with "
        "`python -m circuit_distillation --params task=tom --only-missing-outputs`",
        "MLflow has failed (no route to http://127.0.0.1:9/): its run stays open",
    ]


def test_status_shows_what_would_run(command, tmp_path):
    result = command("status", "--env", "test", "--params", f"task=tom,data_root={tmp_path}")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0 and "missing" in lines[0] and not list(tmp_path.iterdir())
    (summary,) = (line for line in lines if line.endswith("nodes would run"))
    n = int(summary.split()[0])
    assert n > 60 and summary == f"{n} of {n} nodes would run"
    assert any("circuit_ce_align_cka" in line for line in lines[lines.index(summary) :])
    assert any(line.split() == ["pretraining", "1"] for line in lines)
    unknown = command("status", "--env", "test", "--params", f"data_root={tmp_path}", "--pipelines", "none")
    assert unknown.exit_code == 1 and "Error: there is no pipeline none: there are" in unknown.stderr


def test_a_bar_takes_lines_in_a_log():
    log = io.StringIO()
    print("\rhalf\rdone", file=cli.LogStream(log))
    assert log.getvalue() == "\nhalf\ndone\n"


def test_ctrl_c_stops_both_tasks_of_a_script(tmp_path):
    (tmp_path / "task.py").write_text(  # which says its line in one piece
        "import os, pathlib, sys, time\n"
        "try:\n    pathlib.Path(sys.argv[1]).touch(); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    os.write(1, (sys.argv[1] + ' stopped\\n').encode()); sys.exit(130)\n"
    )
    script = f". {ROOT}/scripts/tasks.sh; work() {{ {sys.executable} task.py $1; }}; both_tasks work"
    run = subprocess.Popen(
        ["bash", "-euc", script],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # a job in the background has none
    given_up = time.monotonic() + 60
    while not all((tmp_path / task).exists() for task in ("entity", "tom")):
        assert run.poll() is None and time.monotonic() < given_up, "the tasks never began"
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=20)[0]
    assert run.returncode == 130 and sorted(said.splitlines()) == ["entity stopped", "tom stopped"]


@pytest.mark.slow
def test_ctrl_c_leaves_what_the_next_run_goes_on_from(tmp_path):
    words = ["run", "--env", "test", "--pipelines", "data_generation,pretraining"]
    words += ["--params", f"task=tom,data_root={tmp_path}"]
    kedro = [sys.executable, "-m", "kedro", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    run = subprocess.Popen(kedro, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment)
    for line in run.stderr:
        if "Running node: pretrain_bases" in line:
            break
    run.send_signal(signal.SIGINT)
    rest = run.stderr.read()
    assert run.wait() == 130 and "Stopped. What is finished is kept" in rest and "Traceback" not in rest
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert len(made) == 9
    subprocess.run([*kedro, "--only-missing-outputs"], cwd=ROOT, check=True, env=environment)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert (tmp_path / "06_models/mini/seed0/tom/base/large/config.json").is_file()
