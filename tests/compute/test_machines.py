"""Machines that join a run: here as threads, and as processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
import torch
from naive.tiny_models import tiny_model, tiny_prompts
from training.test_launch import assert_close, train_all

from circuit_distillation.circuits.in_processes import score_heads_in_processes
from circuit_distillation.circuits.path_patching import score_heads
from circuit_distillation.compute import machines
from circuit_distillation.compute.machines import MACHINES, Others, Told, join, told
from circuit_distillation.compute.processes import check_processes, run_in_processes


@pytest.fixture
def alone(monkeypatch):
    for name in MACHINES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def three() -> Told:
    return Told(3, "localhost", machines._free_port(), b"secret")


def joined(told: Told, run, n: int = 2) -> list[threading.Thread]:
    threads = [threading.Thread(target=join, args=(told, run), daemon=True) for _ in range(n)]
    for thread in threads:
        thread.start()
    return threads


def test_the_environment_names_machines_or_none(alone, monkeypatch):
    assert told() is None
    for name, value in zip(MACHINES, ("2", "node1:29500", "secret"), strict=True):
        monkeypatch.setenv(name, value)
    assert told() == Told(2, "node1", 29500, b"secret")
    monkeypatch.setenv("CIRCUIT_MACHINES", "1")
    assert told() is None


@pytest.mark.parametrize("name", MACHINES)
def test_half_of_the_variables_is_an_error(alone, monkeypatch, name):
    for other, value in zip(MACHINES, ("2", "node1:29500", "secret"), strict=True):
        monkeypatch.setenv(other, value)
    monkeypatch.setenv(name, {"CIRCUIT_MACHINES": "two"}.get(name, ""))
    with pytest.raises(ValueError, match="must be set to a number, host:port and a secret text"):
        told()


def test_every_machine_gets_the_work_and_its_place(three):
    threads = joined(three, lambda place, *job: {place.machine: (place.n_machines, *job)})
    there = Others(three)
    for job in ("first", "second"):
        found = there.run(lambda place, job=job: {place.machine: (place.n_machines, job)}, job)
        assert found == {number: (3, job) for number in range(3)}
    for connection in there._connections:  # as at the end of a run
        connection.close()
    for thread in threads:
        thread.join(timeout=10)
    assert not any(thread.is_alive() for thread in threads)


def test_what_fails_elsewhere_is_raised_here(three):
    def fail(place, *job):
        raise ValueError("no such head")

    joined(three, fail)
    with pytest.raises(RuntimeError, match="ValueError: no such head"):
        Others(three).run(lambda place: {0: None}, "job")


def test_a_machine_that_does_not_see_the_files_is_refused(three, monkeypatch):
    monkeypatch.setattr(machines.Path, "exists", lambda self: False)
    joined(three, lambda *_: {})
    with pytest.raises(RuntimeError, match="not every machine sees .*: set TMPDIR"):
        Others(three)


def test_machines_that_do_not_come_and_others_that_do(three, monkeypatch):
    monkeypatch.setattr(machines, "JOINING_SECONDS", 0.5)
    wrong = replace(three, key=b"guess")
    threading.Thread(target=pytest.raises, args=(ValueError, join, wrong, None), daemon=True).start()
    with pytest.raises(RuntimeError, match="not all of 3 machines joined within 0.5 s"):
        Others(three)


def test_more_processes_than_gpus_are_refused(alone, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="4 processes need a GPU each, there are 2 here: lower `processes`"):
        check_processes(4)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert check_processes(4) == 4


@pytest.fixture
def second_machine(monkeypatch):
    """A process that joins as another machine does, and this one as the first."""
    tests = os.path.dirname(os.path.dirname(__file__))
    paths = os.pathsep.join([tests, *filter(None, sys.path)])
    for name, value in zip(MACHINES, ("2", f"localhost:{machines._free_port()}", "secret"), strict=True):
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "circuit_distillation.compute.machines"]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths})
    machines.others.cache_clear()
    yield process
    machines.others.cache_clear()
    process.kill()
    process.wait()


@pytest.mark.slow
def test_two_machines_train_and_search_like_one(second_machine):
    _, expected = train_all()
    for rank, (found_rank, outcomes) in enumerate(run_in_processes(train_all, n_processes=2)):
        assert found_rank == rank
        for found, alone in zip(outcomes, expected, strict=True):
            assert_close(found, alone)
    model, clean, corrupt = tiny_model(), tiny_prompts(), tiny_prompts(seed=2)
    prompts = (clean, corrupt, torch.arange(5), torch.tensor([3, 4, 5, 6, 7]))
    scores = score_heads_in_processes(model, *prompts, n_processes=2)
    torch.testing.assert_close(scores, score_heads(model, *prompts), rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="3 processes do not share 2 machines evenly"):
        run_in_processes(train_all, n_processes=3)


def die_on_the_second_machine():
    torch.distributed.init_process_group("gloo")
    if os.environ["RANK"] == "1":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    torch.distributed.barrier()


@pytest.mark.slow
def test_a_machine_that_dies_ends_the_run(second_machine):
    with pytest.raises(RuntimeError, match="another machine left the run"):
        run_in_processes(die_on_the_second_machine, n_processes=2)
