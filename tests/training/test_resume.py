"""A killed run, called again, ends as if it had never been killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training.distillation_case import HEADS, PAIRS, case, settings, student

from circuit_distillation.training.distill import distill


class Killed(Exception):
    pass


def run(arm, options, folder=None, kill_at=None):
    """(weights, history) of a run; Killed right after the step `kill_at`, before any checkpoint of it."""

    def on_step(row):
        if row["step"] == kill_at:
            raise Killed

    model, data = student(), CASE
    history = distill(
        model,
        data.train,
        data.validation,
        data.signals,
        heads=HEADS,
        pairs=PAIRS,
        settings=settings(arm, **options),
        checkpoint_folder=folder,
        on_step=on_step,
        progress_bar=False,
    )
    return model.state_dict(), history.drop(columns="seconds")


def assert_same(found, expected):
    assert found[1].equals(expected[1])
    assert all(torch.equal(found[0][name], tensor) for name, tensor in expected[0].items())


CASE = case()
OPTIONS = dict(epochs=4, schedule="cosine")  # 12 steps, a checkpoint every second


@pytest.mark.parametrize("arm", ["full_ce", "circuit_align_cka", "circuit_ce_align_cka"])
def test_killed_at_random_steps_and_resumed(arm, tmp_path):
    expected, draw = run(arm, OPTIONS), random.Random(arm)
    for trial in range(7):
        folder = tmp_path / str(trial)
        for kill_at in sorted(draw.sample(range(1, 13), k=2)):
            with pytest.raises(Killed):
                run(arm, OPTIONS, folder, kill_at)
        assert_same(run(arm, OPTIONS, folder), expected)
        assert not list(folder.iterdir())  # the checkpoint of a finished run is gone


def test_early_stopping_survives(tmp_path):
    options = dict(epochs=12, evaluate_every=1, patience=6, learning_rate_heads=0.1)
    expected = run("circuit_ce", options)
    for kill_at in (3, 6):
        with pytest.raises(Killed):
            run("circuit_ce", options, tmp_path, kill_at)
    assert_same(run("circuit_ce", options, tmp_path), expected)


def test_another_run_does_not_see_the_checkpoint(tmp_path):
    with pytest.raises(Killed):
        run("circuit_ce", OPTIONS, tmp_path, kill_at=5)
    other = dict(epochs=4, schedule="cosine", clip_norm=4.0)
    assert_same(run("circuit_ce", other, tmp_path), run("circuit_ce", other))
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


def test_killed_by_the_system_and_resumed(tmp_path):
    program = """
import os, signal
from training import test_resume as case

def on_step(row):
    if row["step"] == 7:
        os.kill(os.getpid(), signal.SIGKILL)

splits = (case.CASE.train, case.CASE.validation, case.CASE.signals)
case.distill(case.student(), *splits, heads=case.HEADS, pairs=case.PAIRS,
             settings=case.settings("circuit_ce", **case.OPTIONS), checkpoint_folder=sys.argv[1],
             on_step=on_step, progress_bar=False)
"""
    tests = Path(__file__).parents[1]
    path = f"import sys; sys.path[:0] = {[str(tests), str(tests.parent / 'src')]!r}\n"
    ended = subprocess.run([sys.executable, "-c", path + program, str(tmp_path)], timeout=120)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    assert_same(run("circuit_ce", OPTIONS, tmp_path), run("circuit_ce", OPTIONS))


def test_a_checkpoint_changed_by_a_byte_is_not_gone_on_with(tmp_path, caplog) -> None:
    with pytest.raises(Killed):
        run("circuit_ce", OPTIONS, tmp_path, kill_at=5)
    (path,) = tmp_path.glob("*.safetensors")
    data = path.read_bytes()
    path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    assert_same(run("circuit_ce", OPTIONS, tmp_path), run("circuit_ce", OPTIONS))
    assert "is not what was written: this work begins anew" in caplog.text
