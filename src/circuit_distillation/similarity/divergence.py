"""Divergence of distributions, such as attention rows, on the scale of a similarity."""

from __future__ import annotations

import torch
from torch import Tensor


def paired_kl(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """1 - KL(teacher || student) of n pairs in nats, mean over rows; student and teacher are [n, m, k].

    Rows are distributions over the same k tokens. A token with probability 0 in both adds nothing.

    Returns:
        (values [n], at most 1, degenerate [n] bool, always false), in at least float32.
    """
    if student.shape != teacher.shape or student.ndim != 3:
        raise ValueError(
            f"KL compares distributions over the same tokens, [n, m, k], got {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}"
        )
    dtype = torch.promote_types(student.dtype, torch.float32)
    smallest = torch.finfo(dtype).tiny
    p, q = teacher.to(dtype), student.to(dtype)
    rows = (p * (p.clamp(min=smallest).log() - q.clamp(min=smallest).log())).sum(-1)
    return 1 - rows.mean(-1), torch.zeros(len(p), dtype=torch.bool, device=p.device)
