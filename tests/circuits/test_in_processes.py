"""Sweeps over two processes give the scores of one."""

from __future__ import annotations

import pytest
import torch
from naive.tiny_models import tiny_model, tiny_prompts

from circuit_distillation.circuits.discovery import discover
from circuit_distillation.circuits.effects import layout_effects
from circuit_distillation.circuits.in_processes import score_heads_in_processes
from circuit_distillation.circuits.path_patching import score_heads
from circuit_distillation.circuits.settings import Stage
from circuit_distillation.models.encoding import Encoded


def two_layouts(n: int, seed: int) -> Encoded:
    """Prompts of 6 and of 8 tokens, in turns."""
    lengths = torch.tensor([6, 8] * n)[:n]
    mask = (torch.arange(8) < lengths[:, None]).long()
    ids = tiny_prompts(n, 8, seed)
    return Encoded(ids * mask, mask, {"last": lengths - 1}, ids[:, 0], ids[:, :3])


@pytest.mark.slow
def test_path_patching_scores_are_the_same():
    model, clean, corrupt = tiny_model("qwen2"), tiny_prompts(), tiny_prompts(seed=2)
    answers, senders = torch.arange(5), torch.tensor([3, 4, 5, 6, 7])
    chosen = dict(receivers=[(2, 1), (2, 2)], receiver_input="v", receiver_position=senders)
    expected = score_heads(model, clean, corrupt, answers, senders, **chosen)
    found = score_heads_in_processes(model, clean, corrupt, answers, senders, n_processes=2, **chosen)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_a_search_finds_the_same_circuit_and_counts_the_work_of_all_processes():
    limits = {"n_heads": 2, "min_drop": 0.0, "z": 0.0}
    fetcher = Stage(name="fetcher", sender="last", **limits)
    reads = {"receivers": ("fetcher",), "receiver_input": "q"}
    stages = [fetcher, Stage(name="transmitter", sender="last", **reads, **limits)]
    prompts = (tiny_prompts(), tiny_prompts(seed=2), torch.arange(5), stages, {"last": -1})
    model = tiny_model()
    one, two = (discover(model, *prompts, n_processes=n) for n in (1, 2))
    assert one.heads == two.heads
    for name, stage in one.stages.items():
        torch.testing.assert_close(two.stages[name].effects, stage.effects, rtol=0, atol=1e-9)
    assert two.cost.forward_equivalents >= one.cost.forward_equivalents > 0


@pytest.mark.slow
def test_ablation_effects_are_the_same():
    model, encoded, reference = tiny_model(), two_layouts(5, seed=1), two_layouts(6, seed=3)
    one, two = (layout_effects(model, encoded, reference, n_processes=n) for n in (1, 2))
    for name, values in vars(one).items():
        torch.testing.assert_close(getattr(two, name), values, rtol=0, atol=1e-9)


def test_more_processes_than_examples_raise():
    ids = tiny_prompts(2)
    with pytest.raises(ValueError, match="2 examples"):
        score_heads_in_processes(tiny_model(), ids, ids, ids[:, 0], -1, n_processes=3)
