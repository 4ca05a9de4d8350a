"""Run a function in several processes from inside one: torch's elastic launcher, so that Kedro stays one
process.

Each process gets the environment that `torchrun` gives (rank, world size, master address), which Accelerate
reads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from circuit_distillation.compute.machines import Place, others, told

MEETING_SECONDS = 120
PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def run_in_processes(function: Callable[..., Any], *args: Any, n_processes: int) -> list[Any]:
    """Results of `function(*args)` of every rank, in rank order. `function` must be importable (a module's
    own).

    The processes are spread evenly over the machines of the run (`compute.machines`). A rank that fails ends
    the others; RuntimeError with what it said. ValueError if there are not as many GPUs.
    """
    each = check_processes(n_processes)
    joined = others()
    if joined is None:
        results = run_at(None, function, args, each)
    else:
        results = joined.run(lambda place: run_at(place, function, args, each), function, args, each)
    return [results[rank] for rank in range(n_processes)]


def check_processes(n_processes: int) -> int:
    """How many of the processes run on this machine.

    ValueError if the machines of the run cannot share them evenly, or if there are GPUs here, but too few.
    """
    machines = told()
    n_machines = 1 if machines is None else machines.n_machines
    if n_processes % n_machines:
        raise ValueError(
            f"{n_processes} processes do not share {n_machines} machines evenly: change `processes`"
        )
    each, there = n_processes // n_machines, torch.cuda.device_count()
    if 0 < there < each:
        raise ValueError(f"{each} processes need a GPU each, there are {there} here: lower `processes`")
    return each


def run_at(
    place: Place | None, function: Callable[..., Any], args: tuple[Any, ...], n_processes: int
) -> dict[int, Any]:
    """Results by rank of the `n_processes` of this machine; `place`: where they meet those of others."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if place is None:
        meeting = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "local_addr": "localhost"}
    else:
        meeting = {"rdzv_backend": "static", "rdzv_endpoint": f"{place.host}:{place.port}"}
        meeting["rdzv_configs"] = {"rank": place.machine, "timeout": MEETING_SECONDS}  # type: ignore
    n_machines = 1 if place is None else place.n_machines
    config = LaunchConfig(
        min_nodes=n_machines,
        max_nodes=n_machines,
        nproc_per_node=n_processes,
        run_id=uuid.uuid4().hex if place is None else str(place.port),
        max_restarts=0,
        monitor_interval=0.1,
        start_method="spawn",
        **meeting,
    )
    try:
        return elastic_launch(config, _entry)(function, args, n_processes)
    except ChildFailedError as error:
        raise RuntimeError(_said(error)) from error


def _said(error: Any) -> str:
    """The first line of what the first rank to fail raised; torch's own message is a table of ranks."""
    rank, failure = error.get_first_failure()
    told = failure.message["message"] if isinstance(failure.message, dict) else ""  # a hint of torch's
    lines = [line for line in told.splitlines() if line.strip()]
    return f"process {rank} has failed: {lines[0] if lines else f'it ended with {failure.exitcode}'}"


class ModelOnDisk:
    """A model that processes can load: `save_pretrained` files, and what these do not say."""

    def __init__(self, model: nn.Module, folder: Path):
        model.save_pretrained(folder)
        self.folder = folder
        self.dtype = str(model.dtype).removeprefix("torch.")
        self.attention = model.config._attn_implementation

    def load(self) -> nn.Module:
        """The model in evaluation mode, on the CPU."""
        from circuit_distillation.models.loading import load_model

        return load_model(self.folder, self.dtype, self.attention)


def _entry(function: Callable[..., Any], args: tuple[Any, ...], n_processes: int) -> Any:
    _end_with_parent()
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // n_processes))
    try:
        return function(*args)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _end_with_parent() -> None:
    """A killed run must not leave processes behind that wait for it and hold its GPUs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
