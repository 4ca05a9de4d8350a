"""Run a function in several processes from inside one: torch's elastic launcher, so that Kedro stays one
process.

Each process gets the environment that `torchrun` gives (rank, world size, master address), which Accelerate
reads.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from circuit_distillation.models.encoding import Encoded
from circuit_distillation.training.distill import distill
from circuit_distillation.training.sharding import whole_state_dict
from circuit_distillation.training.teacher_cache import TeacherSignals, load_signals, save_signals

if TYPE_CHECKING:
    import pandas as pd


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


def distill_in_processes(
    student: nn.Module,
    train: Encoded,
    validation: Encoded,
    signals: TeacherSignals,
    *,
    n_processes: int,
    **options: Any,
) -> pd.DataFrame:
    """`distill` with each batch shared out over `n_processes` (GPUs, or CPU processes where there is none).

    Takes the options of `distill` but `on_step`; with `shard`, the processes also share the student (FSDP2).
    The history is that of one process up to rounding: Gram matrices span the rows of all processes. One
    process runs here, without a launcher.
    """
    if n_processes == 1:
        return distill(student, train, validation, signals, **options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        student.save_pretrained(folder / "student")
        save_signals(signals, folder / "signals.safetensors")
        attention = student.config._attn_implementation
        arguments = (folder, str(student.dtype).removeprefix("torch."), attention, train, validation, options)
        history = run_in_processes(_distill_here, *arguments, n_processes=n_processes)[0]
        student.load_state_dict(load_file(folder / "trained.safetensors"))
    student.eval()
    return history


def _distill_here(
    folder: Path, dtype: str, attention: str, train: Encoded, validation: Encoded, options: dict[str, Any]
) -> pd.DataFrame:
    """One rank: the student from disk, trained with the others; the first writes the outcome."""
    from transformers import AutoModelForCausalLM

    student = AutoModelForCausalLM.from_pretrained(
        folder / "student", dtype=getattr(torch, dtype), attn_implementation=attention, local_files_only=True
    )
    history = distill(student, train, validation, load_signals(folder / "signals.safetensors"), **options)
    trained = whole_state_dict(student)
    if os.environ["RANK"] == "0":
        save_file({name: tensor.clone() for name, tensor in trained.items()}, folder / "trained.safetensors")
    return history


def _entry(function: Callable[..., Any], args: tuple[Any, ...], n_processes: int) -> Any:
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // n_processes))
    try:
        return function(*args)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
