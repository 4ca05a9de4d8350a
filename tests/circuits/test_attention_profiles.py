"""Mean attention rows against the eager attention weights of transformers, one prompt at a time."""

from __future__ import annotations

import pytest
import torch
from naive.prompts import prompt_ids, shuffled, tiny_checkpoint

from circuit_distillation.circuits.attention_profiles import attention_profiles
from circuit_distillation.tasks import get_task

TASK = get_task("tom", instruction="none", templates=("no_visibility", "both_see"))


def naive_profile(checkpoint, prompts) -> torch.Tensor:
    """[layer, head, token, token] in float64."""
    found = []
    for example in prompts:
        attentions = checkpoint.model(prompt_ids(checkpoint, example), output_attentions=True).attentions
        found.append(torch.stack([rows[0] for rows in attentions]))
    return torch.stack(found).mean(0)


@pytest.mark.parametrize("n_prompts", [64, 3])
@torch.no_grad()
def test_profiles_are_mean_attention_rows_of_the_first_prompts_of_a_template(n_prompts: int) -> None:
    checkpoint, examples = tiny_checkpoint(TASK), shuffled(TASK.generate(4, 2))
    found = attention_profiles(checkpoint, examples, n_prompts=n_prompts, batch_size=2)
    assert list(found) == ["both_see", "no_visibility"]
    for template, rows in found.items():
        prompts = [example for example in examples if example.template == template]
        assert len(prompts) > 3
        naive = naive_profile(checkpoint, prompts[:n_prompts])
        assert rows.dtype == torch.float32 and rows.shape == naive.shape
        # transformers takes the softmax in float32, whatever the model's type
        torch.testing.assert_close(rows.double(), naive, atol=1e-6, rtol=0)
