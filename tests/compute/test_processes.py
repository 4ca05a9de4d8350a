"""A rank that fails is told of in one line, whatever torch's launcher makes of it."""

from __future__ import annotations

import pytest

from circuit_distillation.compute.processes import run_in_processes


def fail(what: str) -> None:
    """What both processes run."""
    raise MemoryError(f"{what}: halve distillation.batch_size\nand what torch adds")


def test_what_a_rank_said_is_the_error() -> None:
    with pytest.raises(RuntimeError) as caught:
        run_in_processes(fail, "no room for 64 prompts", n_processes=2)
    told = "has failed: MemoryError: no room for 64 prompts: halve distillation.batch_size"
    assert str(caught.value) in (f"process 0 {told}", f"process 1 {told}")
