"""What cannot run is refused, and a rank that fails is reported in one line."""

from __future__ import annotations

import pytest
import torch

from circuit_distillation.compute.processes import check_processes, run_in_processes


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_processes(2)
    with pytest.raises(ValueError, match="4 processes need a GPU each, there are 2 here: lower `processes`"):
        check_processes(4)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    check_processes(4)


def fail(what: str) -> None:
    """What both processes run."""
    raise MemoryError(f"{what}: halve distillation.batch_size\nand what torch adds")


def test_what_a_rank_said_is_the_error() -> None:
    with pytest.raises(RuntimeError) as caught:
        run_in_processes(fail, "no room for 64 prompts", n_processes=2)
    said = "has failed: MemoryError: no room for 64 prompts: halve distillation.batch_size"
    assert str(caught.value) in (f"process 0 {said}", f"process 1 {said}")
