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
    # One task of the job, as srun starts one on each machine.
    "bin/srun": 'while [[ "$1" = --* ]]; do shift; done; exec "$@"',
    # Ray's first machine: what starts Ray, then the command that it runs.
    ".venv/bin/ray": 'while [ "$1" != -- ]; do echo "$1"; shift; done; shift; exec "$@"',
    ".venv/bin/kedro": 'printf "%s\\n" kedro "$@" '
    '"address=${RAY_ADDRESS:-}" "token=${RAY_AUTH_TOKEN:-}" "tmp=${TMPDIR:-}" "ray_tmp=${RAY_TMPDIR:-}"',
}


@pytest.fixture
def submit(tmp_path):
    """Run the script as a job: what its first task got, a line an argument."""
    shutil.copy(SCRIPT, tmp_path / "slurm.sh")
    for name, text in STANDINS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\n{text}\n")
        path.chmod(0o755)

    def job(*arguments: str, **variables: str) -> list[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "RAY"))}
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
    start = lines.index("kedro")
    assert lines[start + 1] == "run"
    end = next(at for at, line in enumerate(lines) if line.startswith("address="))
    return run.make_context("run", lines[start + 2 : end]).params


def test_a_job_on_one_machine(submit):
    lines = submit("task=entity,experiment=as_printed", SLURM_GPUS_ON_NODE="8")
    options = parsed(lines)
    assert lines[0] == "kedro" and "address=" in lines
    assert options["env"] == "llama3" and options["only_missing_outputs"]
    assert options["params"] == {"processes": 8, "task": "entity", "experiment": "as_printed"}


def test_a_job_on_two_machines(submit, tmp_path):
    lines = submit("task=tom", SLURM_JOB_NUM_NODES="2", SLURM_GPUS_ON_NODE="4", ENVIRONMENT="qwen3")
    options = parsed(lines)
    assert options["env"] == "qwen3" and options["params"] == {"processes": 8, "task": "tom"}
    found = dict(line.split("=", 1) for line in lines[-4:])
    assert lines[:3] == ["symmetric-run", "--address", found["address"]]
    assert lines[3:5] == ["--min-nodes", "2"] and lines[7:9] == ["--num-gpus", "4"]
    assert found["address"] == "node1:23456" and len(found["token"]) == 64
    assert Path(found["tmp"]).parent == tmp_path and not Path(found["tmp"]).exists()
    assert found["ray_tmp"] == "/tmp"


def test_an_array_has_a_seed_a_job(submit):
    options = parsed(submit("task=tom", SLURM_ARRAY_TASK_ID="2"))
    assert options["params"] == {"processes": 1, "task": "tom", "seed": 2}
