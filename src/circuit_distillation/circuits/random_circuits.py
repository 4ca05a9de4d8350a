"""Random circuits of the size of a given one, the control of every circuit table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import Architecture


def random_circuits(
    arch: Architecture,
    heads: Sequence[Head],
    n_circuits: int = 100,
    *,
    seed: int,
    layer_profile: bool = False,
    exclude: Sequence[Head] = (),
) -> Tensor:
    """Masks [circuit, layer, head] of `n_circuits` circuits with as many distinct heads as `heads`.

    Drawn uniformly without replacement within a circuit. layer_profile keeps the number of heads in each
    layer; `exclude` are heads never drawn (for controls disjoint from the circuit).
    """
    profile = Counter(layer for layer, _ in set(heads))
    allowed = torch.ones(arch.n_layers, arch.n_heads, dtype=torch.bool)
    for layer, head in exclude:
        allowed[layer, head] = False
    # Random keys, forbidden heads last: the smallest keys are a uniform draw without replacement.
    generator = torch.Generator().manual_seed(seed)
    keys = torch.rand(n_circuits, arch.n_layers, arch.n_heads, generator=generator).masked_fill(~allowed, 2.0)
    if layer_profile:
        wanted = torch.tensor([profile.get(layer, 0) for layer in range(arch.n_layers)])
        _check(wanted, allowed.sum(dim=1), "in a layer")
        return keys.argsort(dim=2).argsort(dim=2) < wanted[:, None]
    wanted = torch.tensor(profile.total())
    _check(wanted, allowed.sum(), "in all")
    ranks = keys.flatten(1).argsort(dim=1).argsort(dim=1)
    return (ranks < wanted).view(n_circuits, arch.n_layers, arch.n_heads)


def _check(wanted: Tensor, available: Tensor, place: str) -> None:
    if (wanted > available).any():
        raise ValueError(
            f"a random circuit needs {wanted.tolist()} heads {place}, only {available.tolist()} may be drawn"
        )
