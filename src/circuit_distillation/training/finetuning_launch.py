"""Tuning in several processes, started from inside one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from circuit_distillation.compute.processes import ModelOnDisk, run_in_processes
from circuit_distillation.storage.tensors import read_tensors, write_tensors
from circuit_distillation.training.finetuning import Tuning, finetune
from circuit_distillation.training.finetuning_settings import FineTuneSettings
from circuit_distillation.training.packed_instructions import PromptAndResponse
from circuit_distillation.training.sharding import whole_state_dict


def finetune_in_processes(
    model: nn.Module,
    tokenizer: Any,
    items: Sequence[PromptAndResponse],
    settings: FineTuneSettings,
    *,
    n_processes: int,
    **options: Any,
) -> Tuning:
    """`finetune` with each step's items shared out over `n_processes` (GPUs, or CPU processes).

    Takes the options of `finetune` but `on_step`. One process runs here, without a launcher.
    """
    if n_processes == 1:
        return finetune(model, tokenizer, items, settings, **options | {"shard": False})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stored = ModelOnDisk(model, folder / "model")
        arguments = (stored, folder, tokenizer, items, settings, options)
        tuning = run_in_processes(_finetune_here, *arguments, n_processes=n_processes)[0]
        model.load_state_dict(read_tensors(folder / "tuned.safetensors")[0])
    model.eval()
    return tuning


def _finetune_here(
    stored: ModelOnDisk,
    folder: Path,
    tokenizer: Any,
    items: Sequence[PromptAndResponse],
    settings: FineTuneSettings,
    options: dict[str, Any],
) -> Tuning:
    """One rank: the model from disk, tuned with the others; the first writes the outcome."""
    model = stored.load()
    tuning = finetune(model, tokenizer, items, settings, **options)
    tuned = whole_state_dict(model)
    if os.environ["RANK"] == "0":
        write_tensors(folder / "tuned.safetensors", tuned)
    return tuning
