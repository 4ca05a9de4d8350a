"""Two CPU processes against one: the same history and weights."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest
import torch
from training.distillation_case import HEADS, PAIRS, case, settings, student

from circuit_distillation.compute.processes import run_in_processes
from circuit_distillation.training.distill import distill
from circuit_distillation.training.launch import distill_in_processes
from circuit_distillation.training.sharding import whole_state_dict

RUNS = {
    "circuit_ce_align_cka": settings("circuit_ce_align_cka", batch_size=12, bank_batches=2, rows="all"),
    "circuit_align_cka": settings("circuit_align_cka", estimator="unbiased"),
    "full_ce": settings("full_ce"),
}


def train_all(shard=False):
    """(weights, history) of every run."""
    outcomes = []
    for options in RUNS.values():
        model, data = student(), case(rows=options.rows)
        splits = (data.train, data.validation, data.signals)
        chosen = dict(heads=HEADS, pairs=PAIRS, settings=options)
        history = distill(model, *splits, **chosen, shard=shard, progress_bar=False)
        outcomes.append((whole_state_dict(model), history))
    return int(os.environ.get("RANK", 0)), outcomes


def assert_close(found, expected):
    assert list(found[1]) == list(expected[1]) and len(found[1]) == len(expected[1])
    for name in set(expected[1]) - {"seconds", "alignment_share"}:  # the share is of one process alone
        assert found[1][name].tolist() == pytest.approx(expected[1][name].tolist(), abs=1e-5, nan_ok=True)
    for name, tensor in expected[0].items():
        torch.testing.assert_close(found[0][name], tensor, rtol=0, atol=1e-5)


def die_at_step_five(row):
    if row["step"] == 5:
        os.kill(os.getpid(), signal.SIGKILL)


def fail():
    raise RuntimeError("no")


@pytest.mark.parametrize("shard", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_processes_have_the_history_and_weights_of_one(shard):
    _, alone = train_all()
    for expected_rank, (rank, outcomes) in enumerate(run_in_processes(train_all, shard, n_processes=2)):
        assert rank == expected_rank
        for found, expected in zip(outcomes, alone, strict=True):
            assert_close(found, expected)


@pytest.mark.slow
def test_the_student_comes_back_trained():
    outcomes = []
    for n_processes in (1, 2):
        model, data = student(), case()
        splits = (data.train, data.validation, data.signals)
        history = distill_in_processes(
            model, *splits, n_processes=n_processes, heads=HEADS, settings=settings("circuit_ce")
        )
        assert not model.training and history.attrs["percent_heads"] == 25.0
        outcomes.append((model.state_dict(), history))
    assert_close(outcomes[1], outcomes[0])


@pytest.mark.slow
@pytest.mark.parametrize("shard", [False, True])
def test_killed_processes_go_on_and_end_the_same(shard, tmp_path):
    outcomes, chosen = [], dict(heads=HEADS, pairs=PAIRS, settings=settings("circuit_ce_align_cka"))
    for folder, die in ((None, False), (tmp_path, True), (tmp_path, False)):
        model, data = student(), case()
        splits = (data.train, data.validation, data.signals)
        options = chosen | dict(shard=shard, checkpoint_folder=folder, progress_bar=False)
        if die:
            with pytest.raises(Exception, match="SIGKILL"):
                distill_in_processes(model, *splits, n_processes=2, on_step=die_at_step_five, **options)
            assert len(list(tmp_path.glob("*.safetensors"))) == 1
            continue
        history = distill_in_processes(model, *splits, n_processes=2, **options)
        outcomes.append((model.state_dict(), history.drop(columns="seconds")))
    (weights, history), (resumed, again) = outcomes
    assert again.equals(history) and all(torch.equal(resumed[name], weights[name]) for name in weights)
    assert not list(tmp_path.iterdir())


def test_one_process_cannot_share_a_student():
    data = case(n=8)
    with pytest.raises(ValueError, match="two or more"):
        distill_in_processes(
            student(),
            data.train,
            data.validation,
            data.signals,
            n_processes=1,
            settings=settings("full_ce"),
            shard=True,
        )


@pytest.mark.slow
def test_a_rank_that_fails_raises():
    with pytest.raises(Exception, match="fail"):
        run_in_processes(fail, n_processes=2)
    data = case()
    with pytest.raises(Exception, match="batch_size 3 must be a multiple"):
        distill_in_processes(
            student(),
            data.train,
            data.validation,
            data.signals,
            n_processes=2,
            settings=settings("full_ce", batch_size=3),
        )


def note_process(path):
    path.with_name(str(os.getpid())).touch()
    time.sleep(600)


def launch_and_wait(path):
    run_in_processes(note_process, path, n_processes=2)


@pytest.mark.slow
def test_processes_end_with_the_run_that_started_them(tmp_path):
    run = multiprocessing.get_context("spawn").Process(target=launch_and_wait, args=(tmp_path / "any",))
    run.start()
    while len(list(tmp_path.iterdir())) < 2:
        time.sleep(0.1)
    run.kill()
    run.join()
    left = [int(path.name) for path in tmp_path.iterdir()]
    for _ in range(100):
        left = [pid for pid in left if os.path.exists(f"/proc/{pid}")]
        time.sleep(0.1)
    assert not left
