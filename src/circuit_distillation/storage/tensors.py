"""Safetensors files: written whole or not at all, and read into aligned memory.

Tensors from safetensors lie in the mapped file, at an offset that depends on its header, so they may not be
aligned. On some processors matrix products then take another path, and a model read from disk would differ in
the last bits from the model that was stored. So all tensors are read by this module, into new memory.
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
    """Tensors by name, each in new aligned memory, and the value `about` of `write_tensors`."""
    with safe_open(path, framework="pt") as file:
        about = json.loads((file.metadata() or {}).get(ABOUT, "null"))
        return {name: file.get_tensor(name).clone() for name in file.keys()}, about


@torch.no_grad()
def in_own_memory(model: Model) -> Model:
    """The model with every parameter and buffer in new aligned memory; tied weights stay tied."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    return model
