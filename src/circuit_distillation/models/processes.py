"""Run a function in several processes from inside one: torch's elastic launcher, so that Kedro stays one
process.

Each process gets the environment that `torchrun` gives (rank, world size, master address), which Accelerate
reads.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn


def run_in_processes(function: Callable[..., Any], *args: Any, n_processes: int) -> list[Any]:
    """Results of `function(*args)` of every rank, in rank order. `function` must be importable (a module's
    own).

    A rank that fails ends the others and raises here.
    """
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=n_processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.1,
        start_method="spawn",
    )
    results = elastic_launch(config, _entry)(function, args, n_processes)
    return [results[rank] for rank in range(n_processes)]


class ModelOnDisk:
    """A model that processes can load: `save_pretrained` files, and what these do not say."""

    def __init__(self, model: nn.Module, folder: Path):
        model.save_pretrained(folder)
        self.folder = folder
        self.dtype = str(model.dtype).removeprefix("torch.")
        self.attention = model.config._attn_implementation

    def load(self) -> nn.Module:
        """The model in evaluation mode, on the CPU."""
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(
            self.folder,
            dtype=getattr(torch, self.dtype),
            attn_implementation=self.attention,
            local_files_only=True,
            use_safetensors=True,
        ).eval()


def _entry(function: Callable[..., Any], args: tuple[Any, ...], n_processes: int) -> Any:
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // n_processes))
    try:
        return function(*args)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
