"""Safetensors files: written beside and renamed, read into memory of their own.

The tensors that safetensors returns lie in the mapped file, at whatever offset its header leaves. Matrix
products take another path on some processors when their operands are not aligned, so that a model read from
disk would differ in the last bits from the model that was stored. Whatever reads tensors does it here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from circuit_distillation.storage.seals import sealing

ABOUT = "about"
Model = TypeVar("Model", bound=nn.Module)


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], about: Any = None) -> None:
    """Write one sealed file, whole or not at all. `about`: any JSON value, stored with the tensors."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    # Tied weights would share memory, which safetensors refuses.
    own = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    try:
        with sealing(path):
            # One entry: safetensors writes several in an order that differs from process to process.
            save_file(own, beside, metadata={ABOUT: json.dumps(about)})
            os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], Any]:
    """Tensors by name, each in aligned memory of its own, and what `write_tensors` was given as `about`."""
    with safe_open(path, framework="pt") as file:
        about = json.loads((file.metadata() or {}).get(ABOUT, "null"))
        return {name: file.get_tensor(name).clone() for name in file.keys()}, about


@torch.no_grad()
def in_own_memory(model: Model) -> Model:
    """The model with every parameter and buffer in aligned memory of its own; tied weights stay tied."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    return model
