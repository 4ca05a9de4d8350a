"""Run a function in several processes from inside one, so that Kedro stays one process.

On one machine PyTorch's elastic launcher starts them, on a Ray cluster Ray Train (`compute.cluster`). Either
gives each process the environment that Accelerate reads (rank, world size, master address).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from circuit_distillation.compute.cluster import check_cluster, run_on_cluster, uses_cluster

if TYPE_CHECKING:
    from circuit_distillation.models.architecture import CausalLM

PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def run_in_processes(function: Callable[..., Any], *args: Any, n_processes: int) -> list[Any]:
    """Results of `function(*args)` of every rank, in rank order.

    `function` must be importable (a module's own). A rank that fails ends the others; RuntimeError with what
    it said. ValueError if there are GPUs, but fewer than processes.
    """
    check_processes(n_processes)
    if uses_cluster():
        return run_on_cluster(function, args, n_processes)
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=n_processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        monitor_interval=0.1,
        start_method="spawn",
    )
    try:
        results = elastic_launch(config, _entry)(function, args, n_processes)
    except ChildFailedError as error:
        raise RuntimeError(_said(error)) from error
    return [results[rank] for rank in range(n_processes)]


def check_processes(n_processes: int) -> None:
    """ValueError if this machine, or the Ray cluster that the run uses, cannot take as many processes."""
    if uses_cluster():
        check_cluster(n_processes)
        return
    there = torch.cuda.device_count()
    if 0 < there < n_processes:
        raise ValueError(
            f"{n_processes} processes need a GPU each, there are {there} here: lower `processes`"
        )


def _said(error: Any) -> str:
    """The first line of what the first rank to fail raised; torch's own message is a table of ranks."""
    rank, failure = error.get_first_failure()
    message = failure.message["message"] if isinstance(failure.message, dict) else ""  # a hint of torch's
    lines = [line for line in message.splitlines() if line.strip()]
    code = failure.exitcode
    ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"it ended with {code}"
    return f"process {rank} has failed: {lines[0] if lines else ended}"


class ModelOnDisk:
    """A model that processes can load: `save_pretrained` files, and what these do not say."""

    def __init__(self, model: CausalLM, folder: Path):
        model.save_pretrained(folder)
        self.folder = folder
        self.dtype = str(model.dtype).removeprefix("torch.")
        self.attention = model.config._attn_implementation

    def load(self) -> CausalLM:
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
