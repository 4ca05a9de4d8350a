"""KL of attention rows on the scale of a similarity."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from circuit_distillation.similarity.divergence import paired_kl


def rows(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 5, 7, generator=generator, dtype=torch.float64).softmax(-1)


def test_it_is_one_minus_the_kl_of_torch() -> None:
    student, teacher = rows(0), rows(1)
    values, degenerate = paired_kl(student, teacher)
    for pair in range(3):
        kl = functional.kl_div(student[pair].log(), teacher[pair], reduction="batchmean")
        assert values[pair].item() == pytest.approx(1 - kl.item(), abs=1e-12)
    assert not degenerate.any()


def test_equal_rows_give_one_and_tokens_without_attention_add_nothing() -> None:
    masked = torch.cat([rows(0), torch.zeros(3, 5, 2, dtype=torch.float64)], dim=-1).requires_grad_()
    values, _ = paired_kl(masked, masked.detach())
    torch.testing.assert_close(values, torch.ones_like(values), rtol=0, atol=1e-14)
    values.sum().backward()
    assert torch.isfinite(masked.grad).all()


def test_the_gradient_of_logits_is_the_difference_of_the_rows() -> None:
    logits = torch.randn(1, 4, 6, dtype=torch.float64, requires_grad=True)
    teacher = rows(2)[:1, :4, :6]
    teacher = teacher / teacher.sum(-1, keepdim=True)
    values, _ = paired_kl(logits.softmax(-1), teacher)
    (1 - values).sum().backward()
    torch.testing.assert_close(logits.grad, (logits.detach().softmax(-1) - teacher) / 4, rtol=0, atol=1e-12)


def test_rows_over_other_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="the same tokens"):
        paired_kl(rows(0), rows(1)[..., :6])
