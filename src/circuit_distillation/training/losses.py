"""The composite loss: cross-entropy to the teacher's labels, and 1 - similarity over pairs (eqs. 6 and 7)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from circuit_distillation.similarity import Estimator
from circuit_distillation.similarity.cka import DegenerateSampleError
from circuit_distillation.similarity.measures import MEASURES, OfPairs


@dataclass
class AlignmentTerm:
    """The alignment term of a step: its loss, the similarity of each pair (NaN if skipped), how many were."""

    loss: Tensor  # scalar, without lambda
    similarities: Tensor  # [pair], detached
    skipped: int


def gradient_share(term: Tensor, other: Tensor, parameters: Sequence[Tensor]) -> float:
    """‖∇ term‖ / (‖∇ term‖ + ‖∇ other‖) over `parameters`: how much of an update `term` decides.

    Norms are L2 over all parameters together. The graphs stay; NaN if both gradients are 0.
    """

    def norm(loss: Tensor) -> float:
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        return math.hypot(*(gradient.norm().item() for gradient in gradients if gradient is not None))

    own, others = norm(term), norm(other)
    return own / (own + others) if own + others > 0 else math.nan


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of logits [batch, vocabulary] (eq. 6).

    `labels` are token ids [batch] (hard or gold), or the teacher's logits [batch, vocabulary] (soft:
    cross-entropy to its distribution, which is KL(teacher || student) plus the teacher's entropy, a constant
    of the student).
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if labels.ndim == 1:
        return functional.cross_entropy(logits, labels)
    if labels.shape != logits.shape:
        raise ValueError(
            f"soft labels need one vocabulary: the teacher has {labels.shape[-1]} tokens, "
            f"the student {logits.shape[-1]}"
        )
    return functional.cross_entropy(logits, labels.to(logits.dtype).softmax(-1))


def alignment_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    similarity: str = "cka",
    estimator: Estimator = "biased",
    reduction: Literal["sum", "mean"] = "sum",
    counted: Tensor | None = None,
) -> AlignmentTerm:
    """1 - similarity over the pairs (eq. 7), summed as printed or averaged.

    Args:
        similarity: a name of `similarity.measures.MEASURES`.
        student: [pair, m, width]; teacher: [pair, m, width of the teacher]; the same m rows.
        counted: [pair, m] bool, the rows of each pair that count; None: all.

    A pair whose similarity is undefined on these rows (no variance; too few rows) is left out of the loss and
    counted. A NaN in the activations is not: it shows in the loss.
    """
    of_pairs = MEASURES[similarity].of_pairs
    if counted is None:
        values, degenerate = _defined(of_pairs, student, teacher, estimator)
    else:
        parts = [
            _defined(of_pairs, x[rows][None], y[rows][None], estimator)
            for x, y, rows in zip(student, teacher, counted, strict=True)
        ]
        values, degenerate = (torch.cat(part) for part in zip(*parts, strict=True))
    kept = ~degenerate
    total = torch.where(kept, 1 - values, torch.zeros_like(values)).sum()
    loss = total / kept.sum().clamp(min=1) if reduction == "mean" else total
    similarities = values.detach().masked_fill(degenerate, torch.nan)
    return AlignmentTerm(loss, similarities, int(degenerate.sum()))


def _defined(
    of_pairs: OfPairs, student: Tensor, teacher: Tensor, estimator: Estimator
) -> tuple[Tensor, Tensor]:
    """Values [pair] and which are degenerate; all are where a similarity is defined on more rows only."""
    if student.shape[1] == 0:
        return _undefined(student)
    try:
        return of_pairs(student, teacher, estimator)
    except DegenerateSampleError:
        return _undefined(student)


def _undefined(student: Tensor) -> tuple[Tensor, Tensor]:
    zeros = (student * 0).sum((1, 2))  # with a gradient of zero, which a distributed wrapper waits for
    return zeros, torch.ones_like(zeros, dtype=torch.bool)
