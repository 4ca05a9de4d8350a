"""Hold half-precision weights in float32 while all of them are trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from circuit_distillation.models.architecture import CausalLM


@contextmanager
def trained_in_float32(model: CausalLM) -> Iterator[None]:
    """Half-precision weights become float32 and are rounded back at the end; others stay as they are.

    bfloat16 keeps eight bits: beside a weight of 0.02 a step of 2e-5 would vanish.
    """
    held = model.dtype
    half = held in (torch.bfloat16, torch.float16)
    if half:
        model.float()
    try:
        yield
    finally:
        if half:
            model.to(held)
