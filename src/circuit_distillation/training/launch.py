"""Start distillation in several processes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuit_distillation.compute.processes import ModelOnDisk, run_in_processes
from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.models.encoding import Encoded
from circuit_distillation.storage.tensors import read_tensors, write_tensors
from circuit_distillation.training.distill import distill
from circuit_distillation.training.sharding import whole_state_dict
from circuit_distillation.training.teacher_cache import TeacherSignals, load_signals, save_signals

if TYPE_CHECKING:
    import pandas as pd


def distill_in_processes(
    student: CausalLM,
    train: Encoded,
    validation: Encoded,
    signals: TeacherSignals,
    *,
    n_processes: int,
    **options: Any,
) -> pd.DataFrame:
    """`distill` with each batch shared out over `n_processes` (GPUs, or CPU processes where there is none).

    Takes the options of `distill`; `on_step` is called in every process, so it must be a module's own
    function. With `shard`, the processes also share the student (FSDP2). The history is that of one process
    up to rounding: Gram matrices span the rows of all processes. One process runs here, without a launcher.
    """
    if n_processes == 1:
        if options.get("shard"):
            raise ValueError("one process cannot share the student: sharding needs two or more")
        return distill(student, train, validation, signals, **options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_signals(signals, folder / "signals.safetensors")
        stored = ModelOnDisk(student, folder / "student")
        arguments = (stored, folder, train, validation, options)
        history = run_in_processes(_distill_here, *arguments, n_processes=n_processes)[0]
        student.load_state_dict(read_tensors(folder / "trained.safetensors")[0])
    student.eval()
    return history


def _distill_here(
    stored: ModelOnDisk, folder: Path, train: Encoded, validation: Encoded, options: dict[str, Any]
) -> pd.DataFrame:
    """One rank: the student from disk, trained with the others; the first writes the outcome."""
    student = stored.load()
    history = distill(student, train, validation, load_signals(folder / "signals.safetensors"), **options)
    trained = whole_state_dict(student)
    if os.environ["RANK"] == "0":
        write_tensors(folder / "trained.safetensors", trained)
    return history
