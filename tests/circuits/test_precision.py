from __future__ import annotations

import torch
from naive.tiny_models import tiny_model, tiny_prompts

from circuit_distillation.circuits.mean_ablation import head_effects, head_means
from circuit_distillation.circuits.path_patching import score_heads

N_FIRST = 10  # 5 % of 192 heads


def _first(scores: torch.Tensor) -> set[int]:
    return set(scores.mean(-1).flatten().argsort()[:N_FIRST].tolist())


def test_half_precision_weights_rank_the_first_heads_as_full_ones_do() -> None:
    """The overlap of the first 5 % must be at least 0.95: with ten heads, all of them."""
    full = tiny_model(n_layers=16, n_heads=12, n_kv_heads=4).float()
    half = tiny_model(n_layers=16, n_heads=12, n_kv_heads=4).bfloat16()
    clean, corrupt = tiny_prompts(24, 8, 1), tiny_prompts(24, 8, 2)
    answers, means = clean[:, 3], head_means(full, tiny_prompts(24, 8, 3))
    patched, ablated = [], []
    for model in (full, half):
        patched.append(score_heads(model, clean, corrupt, answers, -1, score="log_prob"))
        effects = head_effects(model, clean, answers, means)
        ablated.append(effects.log_prob - effects.base_log_prob)
    assert not torch.equal(*patched)
    assert _first(patched[0]) == _first(patched[1]) and _first(ablated[0]) == _first(ablated[1])
