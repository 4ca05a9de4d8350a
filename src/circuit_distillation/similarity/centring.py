"""Centring for all similarities: in float32 or better, before any product.

Products of uncentred bfloat16 activations with a large mean would lose the variance.
"""

from __future__ import annotations

import torch
from torch import Tensor


def centred_unit(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x [n, m, p] in at least float32, centred over its rows and scaled to unit Frobenius norm.

    Returns:
        (centred, flat, noise): `flat` [n] are those without variance, which are left unscaled; `noise` [n] is
        the rounding error that centring may leave in what is of unit norm.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    centred = x - x.mean(1, keepdim=True)
    norm, size = (torch.linalg.vector_norm(a, dim=(1, 2)) for a in (centred, x.detach()))
    # Constant rows leave the rounding error of their mean behind, so zero is relative to the size of the
    # values.
    eps = torch.finfo(x.dtype).eps
    flat = norm.detach() <= 8 * eps * size
    # The square root of the squares has no gradient at zero, and 0 * inf would be a NaN: divide by 1 there.
    scale = torch.where(flat, torch.ones_like(norm), norm)
    return centred / scale[:, None, None], flat, eps * (1 + size / scale.detach())
