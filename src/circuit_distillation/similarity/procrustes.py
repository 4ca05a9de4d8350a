"""Orthogonal Procrustes similarity, an alternative to CKA (Schönemann 1966; for distillation see 2509.25253).

The nuclear norm of X^T Y for centred X and Y of unit Frobenius norm: 1 if and only if one is a rotation of
the other (up to scale), where CKA can be near 1 for different geometries.
"""

from __future__ import annotations

import torch
from torch import Tensor

from circuit_distillation.similarity.centring import centred_unit


def paired_procrustes(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Procrustes similarity of n pairs, x [n, m, p1] and y [n, m, p2].

    Returns:
        (values [n] in [0, 1], degenerate [n] bool), in at least float32. The narrower side counts as padded
        with zeros. A degenerate pair (a side without variance) has the value 0 and no gradient.
    """
    if x.ndim != 3 or y.ndim != 3 or x.shape[:2] != y.shape[:2]:
        raise ValueError(
            f"Procrustes compares the same rows: x [n, m, p1] and y [n, m, p2], "
            f"got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    with torch.autocast(x.device.type, enabled=False):
        x, flat_x, _ = centred_unit(x)
        y, flat_y, _ = centred_unit(y)
        dtype = torch.promote_types(x.dtype, y.dtype)
        degenerate = flat_x | flat_y
        value = torch.linalg.matrix_norm(x.to(dtype).mT @ y.to(dtype), ord="nuc")
        return torch.where(degenerate, torch.zeros_like(value), value), degenerate
