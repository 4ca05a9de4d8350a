"""Compare rankings of heads: how far two agree, and how faithful the circuits are that one of them gives.

CPR and CMD are those of the Mechanistic Interpretability Benchmark (MIB, Mueller et al. 2025) with heads in
place of edges: the area under the normalised faithfulness of the best k of the heads (higher is better), and
the area between it and 1 (lower is better).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from circuit_distillation.circuits.evaluation import circuits_outputs
from circuit_distillation.models.architecture import CausalLM

# Shares of the components at which MIB evaluates a ranking.
MIB_SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def rank_correlation(scores: Tensor, others: Tensor) -> float:
    """Spearman's correlation of two scores of the same heads, [layer, head]; NaN if one of them is constant.

    Heads that both score exactly 0 are left out: they cannot reach the receivers.
    """
    from scipy.stats import rankdata

    scored = (scores != 0) | (others != 0)
    ranks = torch.stack(
        [torch.from_numpy(rankdata(part[scored].double().cpu().numpy())) for part in (scores, others)]
    )
    return float(torch.corrcoef(ranks)[0, 1]) if ranks.shape[1] > 1 else float("nan")


def top_overlap(scores: Tensor, others: Tensor, k: int) -> float:
    """Share of the k lowest (most important) heads of one score, [layer, head], that are among those of the
    other."""
    if not 1 <= k <= scores.numel():
        raise ValueError(f"k must be 1 to {scores.numel()}, the number of heads, not {k}")
    top, other = (set(ranking(part)[:k]) for part in (scores, others))
    return len(top & other) / k


def ranking(scores: Tensor) -> list[int]:
    """Heads as indices layer * n_heads + head, the lowest score of [layer, head] first."""
    return scores.flatten().argsort(stable=True).tolist()


def cpr_cmd(
    model: CausalLM, input_ids: Tensor, answer_ids: Tensor, scores: Tensor, means: Tensor
) -> tuple[float, float]:
    """(CPR, CMD) of the ranking that scores [layer, head] give, the lowest first.

    Faithfulness is that of the answer's mean log-probability after the prompts input_ids [example, position],
    with all heads outside of a circuit at their means (of `head_means`): 1 for the model, 0 without heads.
    """
    circuits = nested_circuits(scores)
    every = torch.ones_like(circuits[:1])
    outputs = circuits_outputs(
        model, input_ids, torch.cat([circuits, every, ~every]), means, answer_ids=answer_ids
    )
    assert outputs.log_prob is not None, "answers were given"
    *values, full, empty = outputs.log_prob.double().mean(dim=1).tolist()
    if full == empty:
        raise ValueError("faithfulness needs a model that answers otherwise without its heads")
    return areas([(value - empty) / (full - empty) for value in values])


def nested_circuits(scores: Tensor, shares: Sequence[float] = MIB_SHARES) -> Tensor:
    """Masks [share, layer, head] of the first round(share x heads) heads of the ranking of [layer, head]."""
    order = torch.tensor(ranking(scores))
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
    sizes = torch.tensor([round(share * len(order)) for share in shares])
    return (rank < sizes[:, None]).view(-1, *scores.shape)


def areas(faithfulness: Sequence[float], shares: Sequence[float] = MIB_SHARES) -> tuple[float, float]:
    """(CPR, CMD) of normalised faithfulness f at rising shares: trapezoids under f and under |1 - f|."""
    if len(faithfulness) != len(shares):
        raise ValueError(f"need one value per share: {len(faithfulness)} values, {len(shares)} shares")
    f, x = (torch.tensor(values, dtype=torch.float64) for values in (faithfulness, shares))
    return float(torch.trapezoid(f, x)), float(torch.trapezoid((1 - f).abs(), x))
