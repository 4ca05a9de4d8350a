"""Training as Kedro runs it: killed and continued, in several processes, arms and losses beyond the paper."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from training.distillation_case import case, settings

from circuit_distillation import grid
from circuit_distillation.arms import ARMS, EXTRA_ARMS
from circuit_distillation.pipelines.distillation.nodes import _signals
from circuit_distillation.training.loop import DistillationLoop

from .conftest import ROOT

CELL = "small.circuit_ce_align_cka"
LONGER = {"epochs": 4, "checkpoint_every": 1}  # eight steps


class Killed(Exception):
    pass


@pytest.fixture
def root(data_root, tmp_path) -> Path:
    """A copy of the data, so that other tests find theirs as it was."""
    return shutil.copytree(data_root, tmp_path / "data")


def forget(root: Path, cell: str = CELL) -> None:
    """As if the arm had not been trained."""
    shutil.rmtree(root / f"06_models/mini/seed0/tom/paper/{cell}")
    for name in ("history.parquet", "predictions.parquet", "mlflow_run.json"):
        (root / f"07_model_output/mini/seed0/tom/paper/{cell}.{name}").unlink()


def outcome(root: Path, cell: str = CELL) -> tuple[dict[str, torch.Tensor], pd.DataFrame]:
    """(weights, history without its seconds)"""
    history = pd.read_parquet(root / f"07_model_output/mini/seed0/tom/paper/{cell}.history.parquet")
    weights = load_file(root / f"06_models/mini/seed0/tom/paper/{cell}/model.safetensors")
    return weights, history.drop(columns="seconds")


def assert_same(found, expected) -> None:
    assert found[1].equals(expected[1])
    assert all(torch.equal(found[0][name], tensor) for name, tensor in expected[0].items())


def unfinished(root: Path) -> list[Path]:
    return list(root.rglob("*.unfinished"))


@pytest.mark.slow  # tests/training/test_resume.py has the same without Kedro
def test_a_killed_run_goes_on_and_ends_the_same(root, run_kedro, monkeypatch):
    def retrain() -> None:
        run_kedro(root, ["distillation"], only_missing_outputs=True, task="tom", distillation=LONGER)

    forget(root)
    retrain()
    expected, steps, step = outcome(root), [], DistillationLoop._step
    forget(root)

    def killed_at_six(loop, number):
        if number == 6:
            raise Killed
        return step(loop, number)

    monkeypatch.setattr(DistillationLoop, "_step", killed_at_six)
    with pytest.raises(Killed):
        retrain()
    assert [folder.name for folder in unfinished(root)] == [f"{CELL}.unfinished"]
    (unfinished(root)[0] / "of_other_settings.safetensors").touch()

    monkeypatch.setattr(DistillationLoop, "_step", lambda loop, n: steps.append(n) or step(loop, n))
    retrain()
    assert steps == [6, 7, 8]
    assert_same(outcome(root), expected)
    assert not unfinished(root)


@pytest.mark.slow
def test_the_command_killed_by_the_system_and_given_again(root, run_kedro):
    options = ",".join(f"distillation.{name}={value}" for name, value in LONGER.items())
    command = [sys.executable, "-m", "kedro", "run", "--env", "test", "--pipelines", "distillation"]
    command += ["--only-missing-outputs", "--params", f"task=tom,data_root={root},{options}"]
    forget(root)
    subprocess.run(command, cwd=ROOT, check=True)
    expected = outcome(root)
    forget(root)
    running = subprocess.Popen(command, cwd=ROOT)
    while running.poll() is None and not any(folder.glob("*.safetensors") for folder in unfinished(root)):
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL and unfinished(root)
    subprocess.run(command, cwd=ROOT, check=True)
    assert_same(outcome(root), expected)
    assert not unfinished(root)


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True])
def test_two_processes_have_the_history_of_one(root, run_kedro, sharded):
    expected = outcome(root)
    forget(root)
    options = {"processes": 2, "sharded": sharded}
    run_kedro(root, ["distillation"], only_missing_outputs=True, task="tom", distillation=options)
    weights, history = outcome(root)
    alone = {"alignment_share": float("nan")}  # measured in one process alone
    pd.testing.assert_frame_equal(history.assign(**alone), expected[1].assign(**alone), rtol=0, atol=1e-5)
    for name, tensor in expected[0].items():
        torch.testing.assert_close(weights[name], tensor, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["entity", "tom"])
def test_discovery_in_two_processes_has_the_scores_of_one(root, run_kedro, task):
    folder = root / f"05_model_input/mini/seed0/{task}"
    names = ["small_base_head_scores.parquet", "small_base_ablation_effects.parquet"]
    expected = [pd.read_parquet(folder / name) for name in names]
    for name in (*names, "small_base_circuit.json"):
        (folder / name).unlink()
    chosen = {"task": task, "circuit_discovery": {"processes": 2}}
    run_kedro(root, ["circuit_discovery"], only_missing_outputs=True, **chosen)
    for name, frame in zip(names, expected, strict=True):
        pd.testing.assert_frame_equal(pd.read_parquet(folder / name), frame, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_arms_beyond_the_paper_are_trained_and_stand_in_the_table(root, run_kedro):
    chosen = {"task": "tom", "distillation": {"extra_arms": "+".join(EXTRA_ARMS)}}
    run_kedro(root, ["distillation"], only_missing_outputs=True, **chosen)
    run_kedro(root, ["reporting"], **chosen)
    table = pd.read_csv(root / "08_reporting/mini/table4.csv", keep_default_na=False)
    rows = table[table.block == "Beyond the paper"]
    for role in grid.students():
        label = role[0].upper()
        expected = {ARMS[arm].row.loss for arm in EXTRA_ARMS}
        assert set(rows[rows.model.str.startswith(f"Base-{label}")].loss) == expected
        kl, plain = (outcome(root, f"{role}.{arm}")[1] for arm in ("full_kl", "full_ce"))
        assert (kl.ce > 0).all() and kl.ce[0] != plain.ce[0] and (kl.pct_parameters == 100).all()
        layers = outcome(root, f"{role}.layer_cka")[1]
        assert layers.similarity.between(0, 1).all() and (layers.pct_parameters < 50).all()


@pytest.mark.slow
def test_procrustes_takes_the_place_of_cka(root, run_kedro):
    before = outcome(root)[1]
    forget(root)
    options = {"similarity": "procrustes"}
    run_kedro(root, ["distillation"], only_missing_outputs=True, task="tom", distillation=options)
    after = outcome(root)[1]
    assert after.noise_floor.isna().all() and after.similarity.between(0, 1).all()
    assert set(after.measure) == {"Procrustes similarity of head outputs z"}
    assert set(before.measure) == {"CKA of head outputs z"}
    assert after.ce[0] == before.ce[0] and after.similarity[0] != before.similarity[0]


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"teacher_hash": "another"}, {}, "another teacher than the pairs"),
        ({}, {"rows": "all"}, "hold the rows 'last', distillation.rows is 'all'"),
        ({"logits": None}, {"labels": "soft"}, "lack the logits that soft labels need"),
        ({"logits": None}, {"labels": "soft"}, "without `--only-missing-outputs`"),
    ],
)
def test_stored_signals_that_do_not_fit_are_refused_in_one_line(changes, options, message):
    signals = case(n=4).signals
    pairs, arm = {"hashes": {"teacher": signals.teacher_hash}}, "circuit_ce_align_cka"
    assert _signals(signals, pairs, replace(signals, logits=None), settings(arm)) == signals
    with pytest.raises(ValueError, match=message) as caught:
        _signals(replace(signals, **changes), pairs, signals, settings(arm, **options))
    assert "\n" not in str(caught.value)
