"""Sweeps over two processes give the scores of one."""

from __future__ import annotations

import pytest
import torch
from naive.tiny_models import tiny_model, tiny_prompts

from circuit_distillation.circuits.in_processes import head_effects_in_processes, score_heads_in_processes
from circuit_distillation.circuits.mean_ablation import head_effects, head_means
from circuit_distillation.circuits.path_patching import score_heads


@pytest.mark.slow
def test_path_patching_scores_are_the_same():
    model, clean, corrupt = tiny_model("qwen2"), tiny_prompts(), tiny_prompts(seed=2)
    answers, senders = torch.arange(5), torch.tensor([3, 4, 5, 6, 7])
    chosen = dict(receivers=[(2, 1), (2, 2)], receiver_input="v", receiver_position=senders)
    expected = score_heads(model, clean, corrupt, answers, senders, **chosen)
    found = score_heads_in_processes(model, clean, corrupt, answers, senders, n_processes=2, **chosen)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_ablation_effects_are_the_same():
    model, ids, answers = tiny_model(), tiny_prompts(), torch.arange(5)
    means = head_means(model, tiny_prompts(seed=3))
    options = {"positions": [-1, torch.tensor([3, 4, 5, 6, 7])], "candidate_ids": tiny_prompts(5, 3, seed=4)}
    expected = head_effects(model, ids, answers, means, **options)
    found = head_effects_in_processes(model, ids, answers, means, n_processes=2, **options)
    for name, values in vars(expected).items():
        torch.testing.assert_close(getattr(found, name), values, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_effects_without_candidates_have_no_logit_differences():
    model, ids, answers = tiny_model(), tiny_prompts(), torch.arange(5)
    means = head_means(model, tiny_prompts(seed=3))
    found = head_effects_in_processes(model, ids, answers, means, n_processes=2)
    assert found.logit_diff is None and found.base_logit_diff is None
    torch.testing.assert_close(
        found.log_prob, head_effects(model, ids, answers, means).log_prob, rtol=0, atol=1e-9
    )


def test_more_processes_than_examples_raise():
    ids = tiny_prompts(2)
    with pytest.raises(ValueError, match="2 examples"):
        score_heads_in_processes(tiny_model(), ids, ids, ids[:, 0], -1, n_processes=3)
