"""CKA and HSIC against hand-computed values, ckatorch, rsatoolbox, a naive twin; invariances; bad input."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuit_distillation.similarity.cka import (
    DegenerateSampleError,
    hsic,
    linear_cka,
    noise_floor,
    paired_linear_cka,
)

SHAPES = [(20, 5, 7), (6, 9, 30), (64, 64, 128), (200, 3, 4)]  # both the Gram and the feature form are taken


def gaussians(m: int, p1: int, p2: int, seed: int = 0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(m, p1, generator=generator, dtype=dtype)
    mix = torch.randn(p1, p2, generator=generator, dtype=dtype) / p1**0.5
    return x, x @ mix + torch.randn(m, p2, generator=generator, dtype=dtype)


def naive_hsic(k, l, estimator):  # noqa: E741
    """Eq. 1 with an explicit H, and the three sums of Song et al. 2012 (eq. 5) with explicit loops."""
    m = len(k)
    if estimator == "biased":
        h = torch.eye(m, dtype=k.dtype) - 1 / m
        return torch.trace(k @ h @ l @ h) / (m - 1) ** 2
    k, l = k - torch.diag(torch.diag(k)), l - torch.diag(torch.diag(l))  # noqa: E741
    trace = sum(k[i, j] * l[i, j] for i in range(m) for j in range(m))
    sums = sum(k[i].sum() for i in range(m)) * sum(l[i].sum() for i in range(m)) / ((m - 1) * (m - 2))
    rows = sum(k[i].sum() * l[i].sum() for i in range(m)) * 2 / (m - 2)
    return (trace + sums - rows) / (m * (m - 3))


def naive_cka(x, y, estimator):
    k, l = x @ x.T, y @ y.T  # noqa: E741
    xy, xx, yy = (naive_hsic(a, b, estimator) for a, b in ((k, l), (k, k), (l, l)))
    return xy / (xx * yy).sqrt()


def test_hand_computed_values():
    k = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)  # already centred: tr(KK) = 4
    assert hsic(k, k).item() == pytest.approx(4.0)
    x = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)  # centred (-1, 0, 1)
    y = torch.tensor([[0.0], [0.0], [3.0]], dtype=torch.float64)  # (-1, -1, 2): inner 3, norms 2 and 6
    assert linear_cka(x, y).item() == pytest.approx(9 / 12)
    assert hsic(x @ x.T, y @ y.T).item() == pytest.approx(9 / 4)


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
@pytest.mark.parametrize("shape", SHAPES[:2])
def test_agrees_with_the_naive_twin(shape, estimator):
    x, y = gaussians(*shape)
    torch.testing.assert_close(
        hsic(x @ x.T, y @ y.T, estimator), naive_hsic(x @ x.T, y @ y.T, estimator), rtol=1e-10, atol=1e-10
    )
    torch.testing.assert_close(
        linear_cka(x, y, estimator), naive_cka(x, y, estimator), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_agree_with_ckatorch(shape, estimator):
    import ckatorch

    results = []
    for ours in (True, False):
        x, y = (a.clone().requires_grad_() for a in gaussians(*shape))
        if ours:
            value = linear_cka(x, y, estimator)
        elif estimator == "biased":
            value = ckatorch.cka_base(x, y, method="hsic")
        else:
            value = ckatorch.cka_batch(x[None], y[None])
        value.backward()
        results.append((value.detach(), x.grad, y.grad))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_agrees_with_rsatoolbox(shape):
    from rsatoolbox import data, rdm

    x, y = gaussians(*shape)
    dissimilarities = [rdm.calc_rdm(data.Dataset(a.numpy()), method="euclidean") for a in (x, y)]
    theirs = rdm.compare(*dissimilarities, method="cosine_cov").item()
    assert linear_cka(x, y).item() == pytest.approx(theirs, abs=1e-8)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    m=st.integers(5, 24),
    p1=st.integers(2, 12),
    p2=st.integers(2, 12),
    scale=st.floats(1e-6, 1e6),
    estimator=st.sampled_from(["biased", "unbiased"]),
)
def test_invariant_to_rotation_scale_shift_and_permutation(seed, m, p1, p2, scale, estimator):
    x, y = gaussians(m, p1, p2, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    rotation, _ = torch.linalg.qr(torch.randn(p1, p1, generator=generator, dtype=torch.float64))
    order = torch.randperm(m, generator=generator)
    value = linear_cka(x, y, estimator).item()
    assert linear_cka(scale * x @ rotation + 3.0, y, estimator).item() == pytest.approx(value, abs=1e-7)
    assert linear_cka(x[order], y[order], estimator).item() == pytest.approx(value, abs=1e-9)
    assert linear_cka(y, x, estimator).item() == pytest.approx(value, abs=1e-9)
    assert linear_cka(x, x @ rotation, estimator).item() == pytest.approx(1.0, abs=1e-9)
    if estimator == "biased":
        assert -1e-12 <= value <= 1 + 1e-12


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_gradients_are_those_of_finite_differences(estimator):
    x, y = (a.requires_grad_() for a in gaussians(7, 3, 4))
    assert torch.autograd.gradcheck(lambda a, b: linear_cka(a, b, estimator), (x, y))
    k = (x @ x.T).detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda a: hsic(a, (y @ y.T).detach(), estimator), (k,))


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_bfloat16_with_an_offset(estimator):
    x, y = gaussians(256, 32, 48)
    exact = linear_cka(x, y, estimator).item()
    half = [(a + 20).to(torch.bfloat16) for a in (x, y)]
    assert linear_cka(*half, estimator).item() == pytest.approx(exact, abs=1e-2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = linear_cka(*half, estimator)
    assert inside.dtype == torch.float32
    assert inside.item() == pytest.approx(linear_cka(*half, estimator).item(), abs=1e-6)


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_noise_floor_is_the_mean_over_independent_draws(estimator):
    generator = torch.Generator().manual_seed(0)
    sides = [[torch.randn(32, width, generator=generator) for width in (64, 128)] for _ in range(40)]
    draws = [linear_cka(x, y, estimator) for x, y in sides]
    assert torch.stack(draws).mean().item() == pytest.approx(noise_floor(32, 64, 128, estimator), abs=0.03)
    assert noise_floor(32, 64, 128) == pytest.approx(0.73, abs=0.005)


def test_pairs_at_once_and_a_degenerate_pair_among_them():
    drawn = [gaussians(12, 4, 6, seed) for seed in range(3)]
    x, y = torch.stack([a for a, _ in drawn]), torch.stack([b for _, b in drawn])
    x[1] = 0.1  # constant, and not exactly representable: centring leaves rounding noise
    x.requires_grad_()
    values, degenerate = paired_linear_cka(x, y)
    values.sum().backward()
    assert degenerate.tolist() == [False, True, False]
    assert values[1] == 0 and torch.count_nonzero(x.grad[1]) == 0 and torch.isfinite(x.grad).all()
    for i in (0, 2):
        assert values[i].item() == pytest.approx(linear_cka(x[i].detach(), y[i]).item(), abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_rows_that_are_all_alike_but_one_are_degenerate_and_others_are_not(dtype):
    """The unbiased self-HSIC of such rows is zero: rounding is left of it, with a huge gradient."""
    generator = torch.Generator().manual_seed(0)
    for m, p, offset in [(4, 64, 0), (8, 16, 1), (32, 4, 20), (64, 64, 5), (256, 2, 1), (256, 128, 20)]:
        x = torch.randn(40, m, p, generator=generator) + offset
        y = torch.randn(40, m, 8, generator=generator)
        alike = x[:, :1].repeat(1, m, 1)
        alike[:, m // 2] = x[:, 1]
        alike = alike.to(dtype).requires_grad_()
        values, degenerate = paired_linear_cka(alike, y, "unbiased")
        values.sum().backward()
        assert degenerate.all() and not alike.grad.any(), (m, p, offset)
        assert not paired_linear_cka(alike, y, "biased")[1].any()
        assert not paired_linear_cka(x, y, "unbiased")[1].any(), (m, p, offset)


def test_degenerate_samples_raise():
    x, y = gaussians(10, 4, 4)
    for value, dtype in ((0.0, torch.float64), (0.1, torch.float32), (1e4, torch.bfloat16)):
        constant = torch.full((10, 4), value, dtype=dtype)
        with pytest.raises(DegenerateSampleError, match="no variance"):
            linear_cka(constant, y)
        with pytest.raises(ValueError, match="no variance"):
            linear_cka(x, constant, "unbiased")
    with pytest.raises(ValueError, match="no variance"):  # every pair of rows equally far apart
        linear_cka(torch.eye(10, dtype=torch.float64), y, "unbiased")
    with pytest.raises(ValueError, match="at least 4 rows"):
        linear_cka(x[:3], y[:3], "unbiased")
    with pytest.raises(ValueError, match="at least 2 rows"):
        linear_cka(x[:1], y[:1])


def test_input_that_does_not_fit_raises():
    x, y = gaussians(10, 4, 4)
    with pytest.raises(ValueError, match="same rows"):
        linear_cka(x[:5], y)
    with pytest.raises(ValueError, match="estimator"):
        linear_cka(x, y, "debiased")
    with pytest.raises(ValueError, match="Gram"):
        hsic(x, y)
    with pytest.raises(ValueError, match="finite"):
        linear_cka(torch.full((10, 4), math.nan), y)
    with pytest.raises(ValueError, match=r"needs x \[m, p1\] and y \[m, p2\]"):
        linear_cka(x[0], y)
