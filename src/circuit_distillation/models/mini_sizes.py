"""Shapes of the mini family."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MiniSize:
    """Shape of one model; the MLP is twice as wide as the residual stream."""

    n_layers: int
    d_model: int
    n_heads: int = 8
    n_kv_heads: int = 4
    d_head: int = 32


MINI_SIZES = {
    "small": MiniSize(n_layers=4, d_model=64),
    "medium": MiniSize(n_layers=6, d_model=80),
    "large": MiniSize(n_layers=8, d_model=96),
}
