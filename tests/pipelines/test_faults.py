"""Killed at random moments and given again, a command ends with the results of one that was left alone.

The short form of `make faults`.
"""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

import faults


@pytest.mark.slow
def test_data_killed_at_random_moments_are_the_same(data_root, tmp_path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    shutil.copy(data_root / "mlflow.db", root)  # which takes seconds to make
    made, commands = faults.killed(root, "data_generation", "tom", 2, 4.0, random.Random(0))
    assert made == 2 and commands >= 3
    splits = "03_primary/mini/seed0/tom"
    assert not faults.differences(root / splits, data_root / splits)
    assert len(list(faults.results(root / splits))) == 9


def test_a_command_that_fails_is_reported(tmp_path) -> None:
    with pytest.raises(RuntimeError, match="must be one of entity, tom"):
        faults.run(faults.command(tmp_path, "data_generation", "tomm"), tmp_path / "log")


def test_times_apart_every_difference_is_seen(tmp_path) -> None:
    for name, seconds in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "r.json").write_text(f'{{"seconds": {seconds}, "n": 1}}')
    assert faults.differences(tmp_path / "a", tmp_path / "b") == []
    (tmp_path / "b" / "r.json").write_text('{"seconds": 1, "n": 2}')
    (tmp_path / "b" / "t.csv").write_text("x")
    assert faults.differences(tmp_path / "a", tmp_path / "b") == ["r.json", "t.csv"]
