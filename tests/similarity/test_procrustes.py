"""Procrustes similarity against the explicit best rotation; invariances; degenerate pairs."""

from __future__ import annotations

import pytest
import torch
from scipy.linalg import orthogonal_procrustes

from circuit_distillation.similarity.procrustes import paired_procrustes


def gaussians(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive(x, y):
    """tr(R^T X^T Y) under the best rotation, sides padded to one width."""
    x, y = ((a - a.mean(0)) / torch.linalg.norm(a - a.mean(0)) for a in (x, y))
    width = max(x.shape[1], y.shape[1])
    x, y = (torch.nn.functional.pad(a, (0, width - a.shape[1])).numpy() for a in (x, y))
    return orthogonal_procrustes(x, y)[1]


def test_agrees_with_the_best_rotation():
    x, y = gaussians(2, 15, 4), gaussians(2, 15, 6, seed=1)
    values, _ = paired_procrustes(x, y)
    for i in range(2):
        assert values[i].item() == pytest.approx(naive(x[i], y[i]), abs=1e-9)


def test_one_for_a_rotation_and_gradient_by_finite_differences():
    x = gaussians(1, 9, 3)
    rotation, _ = torch.linalg.qr(gaussians(3, 3, seed=2))
    assert paired_procrustes(x, 7 * x @ rotation + 1)[0].item() == pytest.approx(1.0, abs=1e-12)
    y = gaussians(1, 9, 4, seed=3)
    assert torch.autograd.gradcheck(lambda a: paired_procrustes(a, y)[0], (x.requires_grad_(),))


def test_a_degenerate_pair_is_flagged_and_has_no_gradient():
    x = gaussians(2, 9, 3)
    x[0] = 0.1
    x.requires_grad_()
    values, degenerate = paired_procrustes(x, gaussians(2, 9, 4, seed=3))
    values.sum().backward()
    assert degenerate.tolist() == [True, False] and values[0] == 0
    assert torch.count_nonzero(x.grad[0]) == 0 and torch.isfinite(x.grad).all()
    with pytest.raises(ValueError, match="same rows"):
        paired_procrustes(x, gaussians(2, 8, 4))
