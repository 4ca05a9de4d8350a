"""Checkpoint of a training run, from which a killed run goes on: one safetensors file, whole or absent.

Tensors (trained parameters, optimizer moments, the best parameters so far) and the JSON of step, schedule and
history share the file, so they cannot disagree. The file is named after a fingerprint of everything that
determines the run; a run with other settings or data never sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from circuit_distillation.storage.seals import is_usable
from circuit_distillation.storage.tensors import read_tensors, write_tensors
from circuit_distillation.training.sharding import assign, like, whole

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # AdamW's state of a parameter


@dataclass
class Progress:
    """Where a run stands.

    `best` and `waited` serve early stopping: the best validation accuracy so far, and the validations since.
    """

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: float = -1.0
    waited: int = 0
    stopped: bool = False


class RunCheckpoint:
    """Saves and restores the parameters, optimizer and schedule of one run.

    All processes save and load together, and the one that `writes` makes the file.
    """

    def __init__(
        self,
        path: Path,
        parameters: Sequence[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        scheduler: Any,
        writes: bool = True,
    ):
        self._path = path
        self._parameters = list(parameters)
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._writes = writes

    def save(self, progress: Progress, best_parameters: Sequence[Tensor] | None) -> None:
        tensors: dict[str, Tensor] = {f"parameter.{i}": p for i, p in enumerate(self._parameters)}
        tensors |= {f"best.{i}": p for i, p in enumerate(best_parameters or ())}
        for i, parameter in enumerate(self._parameters):
            state = self._optimizer.state.get(parameter, {})
            tensors |= {f"{name}.{i}": state[name] for name in MOMENTS if name in state}
        state = {"progress": asdict(progress), "schedule": self._scheduler.state_dict()}
        full = {name: whole(tensor.detach()).cpu() for name, tensor in tensors.items()}
        if self._writes:
            write_tensors(self._path, full, state)

    def load(self) -> tuple[Progress, list[Tensor] | None] | None:
        """Restore parameters, optimizer and schedule in place; returns progress and best parameters."""
        if not is_usable(self._path):
            return None
        tensors, state = read_tensors(self._path)
        with torch.no_grad():
            for i, parameter in enumerate(self._parameters):
                assign(parameter, tensors[f"parameter.{i}"])
                self._restore_moments(i, parameter, tensors)
        self._scheduler.load_state_dict(state["schedule"])
        # The schedule restores its own count, not the rate that the optimizer holds.
        for group, rate in zip(self._optimizer.param_groups, self._scheduler.get_last_lr(), strict=True):
            group["lr"] = rate
        best = [
            like(p, tensors[f"best.{i}"]) for i, p in enumerate(self._parameters) if f"best.{i}" in tensors
        ]
        return Progress(**state["progress"]), best or None

    def remove(self) -> None:
        """Delete the file, and what a process killed while it wrote left beside it."""
        for path in (self._path, *self._path.parent.glob(f".{self._path.name}.*")):
            path.unlink(missing_ok=True)

    def _restore_moments(self, i: int, parameter: nn.Parameter, tensors: dict[str, Tensor]) -> None:
        found = {name: tensors[f"{name}.{i}"] for name in MOMENTS if f"{name}.{i}" in tensors}
        if found:  # a parameter that never had a gradient has no state
            self._optimizer.state[parameter] = {
                name: tensor if name == "step" else like(parameter, tensor) for name, tensor in found.items()
            }
