"""The job script under a SLURM that does nothing but start its tasks here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from kedro.framework.cli.project import run

SCRIPT = Path(__file__).parent.parent / "scripts" / "slurm.sh"
STANDINS = {
    "bin/scontrol": "echo node1; echo node2",
    # Every task of the job, one after another, as srun starts one on each machine.
    "bin/srun": 'while [ "$1" != bash ]; do shift; done\n'
    'for node in $(seq 0 $((SLURM_JOB_NUM_NODES - 1))); do SLURM_NODEID=$node "$@"; done',
    ".venv/bin/kedro": 'printf "%s\\n" kedro "$@" '
    '"first=$CIRCUIT_FIRST" "machines=$CIRCUIT_MACHINES" "tmp=$TMPDIR"',
    ".venv/bin/python": 'printf "%s\\n" python "$@" "key=$CIRCUIT_KEY"',
}


@pytest.fixture
def submit(tmp_path):
    """Run the script as a job: what its tasks were told, a line an argument."""
    shutil.copy(SCRIPT, tmp_path / "slurm.sh")
    for name, text in STANDINS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\n{text}\n")
        path.chmod(0o755)

    def job(*arguments: str, **variables: str) -> list[str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "CIRCUIT"))
        }
        slurm = {"SLURM_JOB_ID": "123456", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "1"}
        path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
        done = subprocess.run(
            ["bash", "slurm.sh", *arguments],
            cwd=tmp_path,
            env=kept | slurm | path | variables,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return job


def parsed(lines: list[str]) -> dict:
    """What Kedro understands of the command line."""
    assert lines[:2] == ["kedro", "run"]
    return run.make_context(
        "run", lines[2 : lines.index(next(x for x in lines if x.startswith("first=")))]
    ).params


def test_a_job_on_one_machine(submit):
    options = parsed(submit("task=entity,experiment=as_printed", SLURM_GPUS_ON_NODE="8"))
    assert options["env"] == "llama3" and options["only_missing_outputs"]
    assert options["params"] == {"processes": 8, "task": "entity", "experiment": "as_printed"}


def test_a_job_on_two_machines(submit, tmp_path):
    lines = submit("task=tom", SLURM_JOB_NUM_NODES="2", SLURM_GPUS_ON_NODE="4", ENVIRONMENT="qwen3")
    options = parsed(lines)
    assert options["env"] == "qwen3" and options["params"] == {"processes": 8, "task": "tom"}
    assert "first=node1:23456" in lines and "machines=2" in lines
    at = lines.index("python")
    assert lines[at : at + 3] == ["python", "-m", "circuit_distillation.compute.machines"]
    assert len(lines[at + 3]) == len("key=") + 32
    (shared,) = [line.removeprefix("tmp=") for line in lines if line.startswith("tmp=")]
    assert Path(shared).parent == tmp_path and not Path(shared).exists()


def test_an_array_has_a_seed_a_job(submit):
    options = parsed(submit("task=tom", SLURM_ARRAY_TASK_ID="2"))
    assert options["params"] == {"processes": 1, "task": "tom", "seed": 2}
