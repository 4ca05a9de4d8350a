"""Gradients with respect to states of a model whose weights stay as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from circuit_distillation.circuits.cost import Cost, add_macs


@contextmanager
def frozen_weights(model: nn.Module) -> Iterator[None]:
    """Inside, gradients are recorded, but not those of the weights."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in trained:
        weight.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for weight in trained:
            weight.requires_grad_(True)


def gradients(value: Tensor, states: Sequence[Tensor], forward: Cost) -> list[Tensor]:
    """d value / d state for each state; zeros where `value` does not depend on any.

    `forward` is what computing `value` did cost: the way back costs as much, without gradients of weights.
    """
    if not states or not value.requires_grad:
        return [torch.zeros_like(state) for state in states]
    add_macs(forward.macs)
    return list(torch.autograd.grad(value, list(states), materialize_grads=True))
