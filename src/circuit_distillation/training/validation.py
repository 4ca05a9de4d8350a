"""Validation of a student, and early stopping on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from circuit_distillation.training.run_checkpoint import Progress
from circuit_distillation.training.student_forward import Batches

if TYPE_CHECKING:
    from accelerate import Accelerator


@torch.no_grad()
def validate(
    forward: nn.Module, split: Batches, answers: Tensor, batch_size: int, accelerator: Accelerator
) -> tuple[float, float]:
    """(accuracy, CE) on the true answers [n]: argmax over the whole vocabulary after the last token.

    The split is shared out over processes; every process gets the result.
    """
    world, rank = accelerator.num_processes, accelerator.process_index
    per_process = -(-len(split) // world)
    index = torch.arange(rank * per_process, (rank + 1) * per_process)
    # The last process runs a few examples twice, so that all run as many forwards.
    counts = index < len(split)
    totals = torch.zeros(2, dtype=torch.float64)
    for own, kept in zip(
        index.clamp(max=len(split) - 1).split(batch_size), counts.split(batch_size), strict=True
    ):
        logits, _ = forward(*split.inputs(own))
        labels = answers[own].to(logits.device)
        losses = functional.cross_entropy(logits.float(), labels, reduction="none")
        scores = torch.stack([(logits.argmax(-1) == labels).float(), losses]).cpu()
        totals += (scores * kept).double().sum(1)
    totals = accelerator.reduce(totals.float().to(accelerator.device), "sum").tolist()
    return totals[0] / len(split), totals[1] / len(split)


class EarlyStopping:
    """Keeps the parameters of the best validation accuracy; stops after `patience` worse ones.

    Without a patience it does nothing, and the run ends with its last parameters.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], patience: int | None):
        self._parameters = list(parameters)
        self._patience = patience
        self.best: list[Tensor] | None = None

    def update(self, accuracy: float, progress: Progress) -> None:
        """Note a validation; sets `progress.stopped` when it is time."""
        if self._patience is None:
            return
        if accuracy > progress.best:
            progress.best, progress.waited = accuracy, 0
            self.best = [parameter.detach().clone() for parameter in self._parameters]
            return
        progress.waited += 1
        progress.stopped = progress.waited >= self._patience

    @torch.no_grad()
    def restore(self) -> None:
        """Give the parameters their values at the best validation."""
        for parameter, best in zip(self._parameters, self.best or (), strict=self.best is not None):
            parameter.copy_(best)
