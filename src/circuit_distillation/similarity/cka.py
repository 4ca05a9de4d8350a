"""Linear CKA and HSIC (eqs. 1 and 2 of the paper; Kornblith et al. 2019, Song et al. 2012, Nguyen et al.
2020).

Two estimators of HSIC. `biased` is eq. 1, tr(KHLH) / (m - 1)^2. `unbiased` is HSIC_1 of Song et al., whose
expectation is the population value at every m >= 4. Biased CKA of *independent* data is far from zero when
the sample is not much larger than the width (`noise_floor`), the unbiased one is zero on average.

Once both sides are centred, every row of K sums to zero, and the two estimators differ only by terms in the
diagonals of K and L. One inner product <K, L> = ||X^T Y||_F^2 therefore serves both, and it is computed from
whichever of the m x m Gram matrices or the p1 x p2 feature matrix costs less.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from circuit_distillation.similarity import Estimator
from circuit_distillation.similarity.centring import centred_unit

ESTIMATORS = get_args(Estimator)


class DegenerateSampleError(ValueError):
    """CKA is undefined for this sample: a side without variance, or too few rows for the estimator."""


def hsic(k: Tensor, l: Tensor, estimator: Estimator = "biased") -> Tensor:  # noqa: E741 (K and L are the field's names)
    """HSIC of two Gram matrices.

    Args:
        k: Gram matrix of m examples, [..., m, m]. It need not be centred.
        l: Gram matrix of the same examples.
        estimator: `biased` (eq. 1) or `unbiased` (Song et al. 2012, needs m >= 4).

    Returns:
        [...] in at least float32, differentiable. The unbiased value can be negative.

    Raises:
        ValueError: shapes that do not fit, fewer than 2 rows (4 if unbiased), or an unknown estimator.
    """
    if k.shape != l.shape or k.ndim < 2 or k.shape[-1] != k.shape[-2]:
        raise ValueError(
            f"hsic needs two Gram matrices [m, m] of one size, got {tuple(k.shape)} and {tuple(l.shape)}"
        )
    _check_rows(k.shape[-1], estimator)
    k, l = _upcast(k, l)  # noqa: E741
    k, l = _double_centred(k), _double_centred(l)  # noqa: E741
    return _estimate((k * l).sum((-1, -2)), _diagonal(k), _diagonal(l), estimator)


def linear_cka(x: Tensor, y: Tensor, estimator: Estimator = "biased") -> Tensor:
    """Linear CKA of two sets of activations of the same m rows (eq. 2 with the linear kernel).

    Args:
        x: [m, p1]; y: [m, p2]. Any floating dtype; centred in at least float32 before any product is taken.
        estimator: of HSIC, `biased` (in [0, 1]) or `unbiased` (about 0 for independent data, can be slightly
            negative).

    Returns:
        A differentiable scalar, float32 or wider.

    Raises:
        DegenerateSampleError (a ValueError): a side without variance, m < 2, or m < 4 for the unbiased
        estimator. ValueError: shapes that do not fit, values that are not finite, an unknown estimator.
    """
    if x.ndim != 2 or y.ndim != 2:
        raise ValueError(
            f"linear_cka needs x [m, p1] and y [m, p2], got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    value, degenerate = paired_linear_cka(x[None], y[None], estimator)
    if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
        raise ValueError("linear_cka needs finite activations: x or y holds a NaN or an infinity")
    if degenerate.item():
        raise DegenerateSampleError(
            "CKA is undefined: the rows of x or of y have no variance over the sample; use more or other rows"
        )
    return value[0]


def paired_linear_cka(x: Tensor, y: Tensor, estimator: Estimator = "biased") -> tuple[Tensor, Tensor]:
    """`linear_cka` of n pairs at once, without stopping at a degenerate one.

    Args:
        x: [n, m, p1]; y: [n, m, p2], row i of both from the same token.

    Returns:
        (values [n], degenerate [n] bool). A degenerate pair has the value 0 and no gradient: a side without
        variance or, if unbiased, with rows that are all alike but one or all equally far apart. A NaN in the
        input is not degenerate: it stays a NaN in the value.
    """
    if x.ndim != 3 or y.ndim != 3 or x.shape[:2] != y.shape[:2]:
        raise ValueError(
            f"CKA compares the same rows: x [n, m, p1] and y [n, m, p2], "
            f"got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    _check_rows(x.shape[1], estimator)
    # Autocast would take the products in bfloat16 again, after all the care of centring in float32.
    with torch.autocast(x.device.type, enabled=False):
        x, flat_x, noise_x = centred_unit(x)
        y, flat_y, noise_y = centred_unit(y)
        x, y = _upcast(x, y)
        xx, yy, xy = (_feature_hsic(a, b, estimator) for a, b in ((x, x), (y, y), (x, y)))
        degenerate = flat_x | flat_y
        if estimator == "unbiased":
            degenerate |= _is_structureless(xx, x, noise_x) | _is_structureless(yy, y, noise_y)
        one = torch.ones_like(xx)
        norm = torch.where(degenerate, one, xx).sqrt() * torch.where(degenerate, one, yy).sqrt()
        return torch.where(degenerate, torch.zeros_like(xy), xy / norm), degenerate


def noise_floor(m: int, p1: int, p2: int, estimator: Estimator = "biased") -> float:
    """Expected CKA of independent isotropic Gaussian data, m rows of widths p1 and p2.

    For the biased estimator the ratio of the expectations, [(1 + m/p1)(1 + m/p2)]^(-1/2): a centred Gram
    matrix of p features is a Wishart matrix with E tr K^2 = (m - 1) p (p + m), and E tr KL = (m - 1) p1 p2.
    0.73 at m = 32, p = 64 and 128; correlated features make the effective widths smaller and the floor lower.
    0 for the unbiased estimator.
    """
    _check_rows(m, estimator)
    return 0.0 if estimator == "unbiased" else ((1 + m / p1) * (1 + m / p2)) ** -0.5


def _check_rows(m: int, estimator: Estimator) -> None:
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
    needed = 4 if estimator == "unbiased" else 2
    if m < needed:
        raise DegenerateSampleError(f"{estimator} HSIC needs at least {needed} rows, got {m}")


def _upcast(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    return a.to(dtype), b.to(dtype)


def _feature_hsic(x: Tensor, y: Tensor, estimator: Estimator) -> Tensor:
    """HSIC [n] of linear kernels from centred features x [n, m, p1], y [n, m, p2]."""
    m, p1, p2 = x.shape[1], x.shape[2], y.shape[2]
    if p1 * p2 <= m * (p1 + p2):
        inner = (x.mT @ y).square().sum((-1, -2))
    else:
        inner = ((x @ x.mT) * (y @ y.mT)).sum((-1, -2))
    return _estimate(inner, x.square().sum(-1), y.square().sum(-1), estimator)


def _is_structureless(self_hsic: Tensor, x: Tensor, noise: Tensor) -> Tensor:
    """Which unbiased self-HSICs [n], of centred x [n, m, p] of unit norm, are zero but for rounding.

    Zero are those of rows that are all alike but one, and of rows that are all equally far apart. Then
    <K, K> and the terms that are taken from it, at most about 1 each, cancel. What rounding left of them in
    10,000 draws of all shapes and offsets was at most two thirds of this bound.
    """
    m, p = x.shape[1:]
    return self_hsic <= (4 + m / p) * noise / (m * (m - 3))


def _estimate(inner: Tensor, d: Tensor, e: Tensor, estimator: Estimator) -> Tensor:
    """HSIC from <K, L> of centred Gram matrices and their diagonals d, e [..., m].

    Unbiased: with zeroed diagonals K~ = K - diag(d), and K 1 = 0, the sums of Song et al. become tr K~L~ =
    <K, L> - d.e, 1'K~1 = -sum d and 1'K~L~1 = d.e.
    """
    m = d.shape[-1]
    if estimator == "biased":
        return inner / (m - 1) ** 2
    cross = (d * e).sum(-1) * (m / (m - 2))
    return (inner - cross + d.sum(-1) * e.sum(-1) / ((m - 1) * (m - 2))) / (m * (m - 3))


def _double_centred(k: Tensor) -> Tensor:
    k = k - k.mean(-1, keepdim=True)
    return k - k.mean(-2, keepdim=True)


def _diagonal(k: Tensor) -> Tensor:
    return k.diagonal(dim1=-2, dim2=-1)
