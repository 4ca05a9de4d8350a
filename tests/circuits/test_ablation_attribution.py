from __future__ import annotations

import pytest
import torch
from naive.attribution import naive_ablation_attributions
from naive.tiny_models import STYLES, tiny_model, tiny_prompts

from circuit_distillation.circuits.ablation_attribution import attribute_ablations
from circuit_distillation.circuits.mean_ablation import head_means

N, T = 5, 9
ANSWERS = torch.tensor([3, 17, 39, 0, 8])
LENGTHS = torch.tensor([9, 7, 8, 9, 7])
MASK = (torch.arange(T) < LENGTHS[:, None]).long()


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("style", STYLES)
def test_equals_the_gradient_of_a_hooked_forward(style: str, steps: int) -> None:
    model, ids = tiny_model(style), tiny_prompts(N, T)
    means = head_means(model, tiny_prompts(7, T, 3))
    expected = naive_ablation_attributions(model, ids, ANSWERS, means, LENGTHS, steps)
    assert expected.abs().max() > 1e-3
    for megabytes in (1024, 0.001):  # all prompts at once, one at a time
        found = attribute_ablations(
            model, ids, ANSWERS, means, attention_mask=MASK, steps=steps, memory_budget_mb=megabytes
        )
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_arguments_that_do_not_fit_are_refused() -> None:
    model, ids = tiny_model(), tiny_prompts(N, T)
    means = head_means(model, ids)
    with pytest.raises(ValueError, match="steps must be 1"):
        attribute_ablations(model, ids, ANSWERS, means, steps=0)
    with pytest.raises(ValueError, match="means cover"):
        attribute_ablations(model, ids, ANSWERS, means[:, :5])
