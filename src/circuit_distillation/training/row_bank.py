"""The alignment loss over a bank: one Gram matrix has the rows of all batches of a step and of all processes.

Each batch is back-propagated by itself, with its own rows live in the bank and the others as constants at
their current values. The gradient of a function of all rows is the sum of these partial gradients, so the
bank is exact at the memory of one batch; it costs one forward without gradient a batch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from circuit_distillation.similarity.measures import MEASURES
from circuit_distillation.training.distillation_settings import Alignment
from circuit_distillation.training.losses import AlignmentTerm, alignment_loss
from circuit_distillation.training.student_forward import Batches

if TYPE_CHECKING:
    from accelerate import Accelerator


class RowBank:
    """Student rows against teacher rows, both at all training examples.

    teacher: [pair, n, row, width]. acting: [pair, n, row] bool, the rows of each pair that count; None: all.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        train: Batches,
        teacher: Tensor,
        settings: Alignment,
        acting: Tensor | None = None,
    ):
        self._accelerator = accelerator
        self._train = train
        self._teacher = teacher
        self._settings = settings
        self._acting = acting

    def alignment(
        self, i: int, features: Tensor, batches: list[Tensor], constants: list[Tensor] | None
    ) -> AlignmentTerm:
        """The term with this process's share of batch i live.

        Args:
            features: [pair, share of the batch, row, width], with gradient.
            batches: the global batches of the step, as example indices.
            constants: activations [pair, batch, row, width] of every global batch, if there are several.
        """
        settings = self._settings
        parts = list(constants) if constants else [self.gathered(features.detach())]
        parts[i] = self._spliced(features, parts[i])
        index = torch.cat(batches)
        counted = self._train.counted(index)
        teacher = self._teacher[:, index][:, counted].to(features.device)
        acting = None if self._acting is None else self._acting[:, index][:, counted].to(features.device)
        with torch.set_grad_enabled(torch.is_grad_enabled() and settings.cka_weight > 0):
            return alignment_loss(
                torch.cat(parts, dim=1)[:, counted.to(features.device)],
                teacher,
                similarity=settings.similarity,
                estimator=settings.estimator,
                reduction=settings.pair_reduction,
                counted=acting,
            )

    def gathered(self, features: Tensor) -> Tensor:
        """Activations of a global batch from the shares of all processes, [pair, batch, row, width]."""
        if self._accelerator.num_processes == 1:
            return features
        return self._accelerator.gather(features.transpose(0, 1).contiguous()).transpose(0, 1)

    def _spliced(self, own: Tensor, whole: Tensor) -> Tensor:
        """`whole` with this process's share replaced by the live activations."""
        start = self._accelerator.process_index * own.shape[1]
        return torch.cat([whole[:, :start], own, whole[:, start + own.shape[1] :]], dim=1)

    def columns(self, alignment: AlignmentTerm, batches: list[Tensor], width: int) -> dict[str, float]:
        """Of the history: similarity (mean over pairs), similarity_i, noise_floor, skipped_pairs."""
        values = alignment.similarities.tolist()
        kept = [value for value in values if not math.isnan(value)]
        return {
            "similarity": sum(kept) / len(kept) if kept else math.nan,
            **{f"similarity_{i}": value for i, value in enumerate(values)},
            "noise_floor": self._floor(int(self._train.counted(torch.cat(batches)).sum()), width),
            "skipped_pairs": alignment.skipped,
        }

    def _floor(self, rows: int, width: int) -> float:
        """Expected similarity of independent activations; NaN where none is known, and for too few rows."""
        floor = MEASURES[self._settings.similarity].floor
        if floor is None or rows < 4 or self._acting is not None:
            return math.nan
        return floor(rows, width, self._teacher.shape[-1], self._settings.estimator)
