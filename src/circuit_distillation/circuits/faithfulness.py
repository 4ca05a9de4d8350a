"""How well a circuit stands for its model: faithfulness, its normalised form, CPR and CMD, completeness.

CPR and CMD are those of the Mechanistic Interpretability Benchmark (MIB, Mueller et al. 2025), with heads in
place of edges: the area under the normalised faithfulness of the best k of the heads, and the area between it
and 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import Architecture

# Shares of the components at which MIB evaluates a ranking.
MIB_SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def faithfulness(circuit: float, full: float) -> float:
    """Circuit over full model, of a measure whose floor is 0 (accuracy), as in the paper's tables."""
    if full <= 0:
        raise ValueError(f"faithfulness needs a full-model value above 0, not {full}")
    return circuit / full


def normalised_faithfulness(circuit: float, full: float, empty: float) -> float:
    """(m(C) - m(empty)) / (m(M) - m(empty)): 1 for the model, 0 for the circuit without heads; any
    measure."""
    if full == empty:
        raise ValueError(
            f"normalised faithfulness needs a full model unlike the empty circuit; both have {full}"
        )
    return (circuit - empty) / (full - empty)


def nested_circuits(
    arch: Architecture, ranking: Sequence[Head], shares: Sequence[float] = MIB_SHARES
) -> Tensor:
    """Masks [share, layer, head] of the first round(share x heads) heads of a ranking of all heads, best
    first."""
    if len(set(ranking)) != arch.n_total_heads or len(ranking) != arch.n_total_heads:
        raise ValueError(
            f"the ranking must hold each of the {arch.n_total_heads} heads once, not {len(ranking)}"
        )
    order = torch.tensor([layer * arch.n_heads + head for layer, head in ranking])
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
    sizes = torch.tensor([round(share * arch.n_total_heads) for share in shares])
    return (rank < sizes[:, None]).view(-1, arch.n_layers, arch.n_heads)


def cpr_cmd(values: Sequence[float], shares: Sequence[float] = MIB_SHARES) -> tuple[float, float]:
    """(CPR, CMD) of normalised faithfulness at rising shares: trapezoids under f and under |1 - f|."""
    if len(values) != len(shares) or list(shares) != sorted(set(shares)) or len(shares) < 2:
        raise ValueError(
            f"need one value per rising share, at least two: {len(values)} values, shares {list(shares)}"
        )
    f, x = torch.tensor(values, dtype=torch.float64), torch.tensor(shares, dtype=torch.float64)
    return float(torch.trapezoid(f, x)), float(torch.trapezoid((1 - f).abs(), x))


def completeness_masks(circuit: Tensor, n_subsets: int = 20, *, seed: int) -> tuple[Tensor, Tensor]:
    """Masks of the circuit without K and of the model without K, each [subset, layer, head], for random K.

    circuit is bool [layer, head]; K holds each of its heads with probability one half. A circuit is complete
    if F of the two agrees for every K (`incompleteness`).
    """
    generator = torch.Generator().manual_seed(seed)
    removed = circuit & (torch.rand(n_subsets, *circuit.shape, generator=generator) < 0.5)
    return circuit & ~removed, ~removed


def incompleteness(circuit_without: Tensor, model_without: Tensor) -> Tensor:
    """|F(C without K) - F(M without K)| for each K, [subset]; 0 for a complete circuit."""
    return (circuit_without - model_without).abs()
