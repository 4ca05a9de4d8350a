"""Random circuits with as many heads as a given one: the control in every table of circuits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import Architecture


def random_circuits(arch: Architecture, heads: Sequence[Head], n_circuits: int = 100, *, seed: int) -> Tensor:
    """Masks [circuit, layer, head] of `n_circuits` circuits with as many distinct heads as `heads`.

    Drawn uniformly without replacement within a circuit.
    """
    # The heads with the smallest random keys are a uniform draw without replacement.
    generator = torch.Generator().manual_seed(seed)
    keys = torch.rand(n_circuits, arch.n_total_heads, generator=generator)
    ranks = keys.argsort(dim=1).argsort(dim=1)
    return (ranks < len(set(heads))).view(n_circuits, arch.n_layers, arch.n_heads)
