"""The cost of a search in forward-equivalents, compared with one forward for each head.

A forward-equivalent is the multiply-accumulates (MACs) of one full forward of one prompt that unembeds its
last token only: F = L (T (2 d H h + 2 d G h + 3 d f) + 2 T^2 H h) + d V for T tokens, L layers, H query and G
key/value heads of size h, width d, MLP width f and vocabulary V. The engine adds up the MACs of every matrix
product it does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from circuit_distillation.models.architecture import CausalLM, architecture, decoder_layers


@dataclass
class Cost:
    """Running totals; `seconds` is set when the counted block ends."""

    macs: float = 0.0
    seconds: float = 0.0

    def beside_naive(self, model: CausalLM, lengths: Sequence[int], n_forwards: float) -> SearchCost:
        """This work on prompts of these lengths, beside `n_forwards` full forwards of each of them."""
        unit = sum(forward_macs(model, length) for length in lengths) / len(lengths)
        return SearchCost(self.macs / unit, n_forwards * len(lengths), self.seconds)


@dataclass(frozen=True)
class SearchCost:
    """Work in forwards of one prompt of mean length, beside what one hooked forward (or two) a head costs."""

    forward_equivalents: float
    naive_forward_equivalents: float
    seconds: float


_CURRENT: ContextVar[Cost | None] = ContextVar("cost", default=None)


@contextmanager
def counted() -> Iterator[Cost]:
    """Counts the MACs and seconds of everything the engine does inside the block; blocks may be nested."""
    outer = _CURRENT.get()
    cost = Cost()
    token = _CURRENT.set(cost)
    start = time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - start
        _CURRENT.reset(token)
        if outer is not None:
            outer.macs += cost.macs


def add_macs(macs: float) -> None:
    """Called by the engine for every matrix product."""
    cost = _CURRENT.get()
    if cost is not None:
        cost.macs += macs


def forward_macs(model: CausalLM, n_tokens: int) -> float:
    """MACs of one forward of one prompt, the last token unembedded."""
    arch = architecture(model)
    mlp_width = decoder_layers(model)[0].mlp.gate_proj.out_features
    projections = 2 * arch.d_model * (arch.n_heads + arch.n_kv_heads) * arch.d_head
    per_token = projections + 3 * arch.d_model * mlp_width + 2 * n_tokens * arch.n_heads * arch.d_head
    return arch.n_layers * n_tokens * per_token + arch.d_model * arch.vocab_size
