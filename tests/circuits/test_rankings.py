from __future__ import annotations

import math

import pytest
import torch
from naive.ablation import naive_circuit_logits
from naive.tiny_models import tiny_model, tiny_prompts
from scipy.stats import spearmanr

from circuit_distillation.circuits.mean_ablation import head_means
from circuit_distillation.circuits.rankings import (
    MIB_SHARES,
    areas,
    cpr_cmd,
    nested_circuits,
    rank_correlation,
    ranking,
    top_overlap,
)


def test_rank_correlation_is_spearmans_over_heads_that_reach() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(3, 4, generator=generator).round(decimals=1) for _ in range(2))
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a.flatten(), b.flatten()).statistic)
    a[2], b[2] = 0, 0
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a[:2].flatten(), b[:2].flatten()).statistic)
    assert math.isnan(rank_correlation(torch.zeros(2, 2), torch.zeros(2, 2)))


def test_overlap_counts_the_lowest_heads_that_both_have() -> None:
    a, b = torch.tensor([[-3.0, -2.0], [0.0, 1.0]]), torch.tensor([[-1.0, 5.0], [-9.0, 2.0]])
    assert ranking(b) == [2, 0, 3, 1]
    assert [top_overlap(a, b, k) for k in (1, 2, 3, 4)] == [0, 0.5, 2 / 3, 1]
    with pytest.raises(ValueError, match="k must be 1 to 4"):
        top_overlap(a, b, 5)


def test_areas_by_hand() -> None:
    cpr, cmd = areas([0.0, 1.0, 1.5], [0.0, 0.5, 1.0])
    assert (cpr, cmd) == (0.25 + 0.625, 0.25 + 0.125)
    with pytest.raises(ValueError, match="one value per share"):
        areas([0.0], [0.0, 1.0])


def test_cpr_and_cmd_equal_hooked_forwards_of_every_nested_circuit() -> None:
    model, ids, answers = tiny_model(n_heads=6), tiny_prompts(5, 9), torch.tensor([3, 17, 39, 0, 8])
    means = head_means(model, tiny_prompts(7, 9, 3))
    scores = torch.randn(3, 6, generator=torch.Generator().manual_seed(4))
    best = sorted((float(scores[layer, head]), layer, head) for layer in range(3) for head in range(6))

    def measure(n_heads: int) -> float:
        kept = torch.zeros(3, 5, 9, 6, dtype=torch.bool)
        for _, layer, head in best[:n_heads]:
            kept[layer, :, :, head] = True
        logits = naive_circuit_logits(model, ids, torch.full((5,), 9), means, kept)
        return float(logits.log_softmax(-1)[torch.arange(5), answers].mean())

    empty, full = measure(0), measure(18)
    values = [(measure(round(share * 18)) - empty) / (full - empty) for share in MIB_SHARES]
    assert cpr_cmd(model, ids, answers, scores, means) == pytest.approx(areas(values), abs=1e-6)
    assert nested_circuits(scores).sum(dim=(1, 2)).tolist() == [round(share * 18) for share in MIB_SHARES]


def test_a_model_that_needs_no_heads_has_no_faithfulness() -> None:
    model, ids = tiny_model(), tiny_prompts(2, 9)
    for layer in model.model.layers:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
    with pytest.raises(ValueError, match="faithfulness needs"):
        cpr_cmd(model, ids, torch.tensor([1, 2]), torch.zeros(3, 4), head_means(model, ids))
