"""The packaged project runs from an empty folder, with its configuration in an archive beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("src", "conf", "pyproject.toml", "README.md", "LICENSE")


def call(*command: str, cwd: Path, **variables: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env=os.environ | {"KEDRO_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"} | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_wheel_runs_from_an_empty_folder(tmp_path):
    source, site, empty = (tmp_path / name for name in ("source", "site", "empty"))
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info", "local")
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name, **{"ignore": skipped} if copy is shutil.copytree else {})
    (source / "conf" / "local").mkdir()
    call("kedro", "package", cwd=source)
    (wheel,) = (source / "dist").glob("*.whl")
    call("pip", "install", "--no-deps", "--target", str(site), str(wheel), cwd=tmp_path)
    empty.mkdir()
    shutil.copy(source / "dist" / "conf-circuit_distillation.tar.gz", empty / "conf.tar.gz")
    run = ("circuit_distillation", "--conf-source", "conf.tar.gz")
    given = "task=entity,data_root=out,data_generation.groups.entity.test=3"
    call(*run, "--pipelines", "data_generation", "--params", given, cwd=empty, PYTHONPATH=str(site))
    prompts = pd.read_parquet(empty / "out/03_primary/mini/seed0/entity/test.parquet")
    assert len(prompts) == 21
