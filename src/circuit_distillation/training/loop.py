"""The distillation loop on Accelerate: steps, validation, early stopping, checkpoints and the history."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from circuit_distillation.compute.halving import is_out_of_memory
from circuit_distillation.training.distillation_settings import DistillationSettings
from circuit_distillation.training.losses import AlignmentTerm, gradient_share, label_loss
from circuit_distillation.training.row_bank import RowBank
from circuit_distillation.training.run_checkpoint import Progress, RunCheckpoint
from circuit_distillation.training.sharding import whole
from circuit_distillation.training.student_forward import Batches, StudentForward
from circuit_distillation.training.validation import EarlyStopping, validate

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Engine:
    """The moving parts of a run, as Accelerate returned them. `forward` is `student`, possibly wrapped."""

    accelerator: Accelerator
    student: StudentForward
    forward: nn.Module
    optimizer: Any
    scheduler: Any
    checkpoint: RunCheckpoint | None


@dataclass(frozen=True)
class Objective:
    """What the student learns from.

    labels: token ids [n] or teacher logits [n, vocabulary]. teacher: activations [pair, n, row, width], None
    for an arm that aligns nothing. acting: the rows of each pair that count, [pair, n, row], None: all.
    validation: a split and its true answers [n].
    """

    train: Batches
    labels: Tensor
    teacher: Tensor | None
    acting: Tensor | None
    validation: Batches
    answers: Tensor


@dataclass(frozen=True)
class Gradients:
    """What a step's gradients are of, before its update.

    ce: over all its examples. width: of the student's activations. share: of the alignment in the gradients
    of the first batch, NaN where it is not measured. measuring: the seconds of that, which are no part of a
    step.
    """

    ce: float
    alignment: AlignmentTerm | None
    width: int
    share: float
    measuring: float


class DistillationLoop:
    """Trains until the settings' last step or an early stop."""

    def __init__(self, engine: Engine, objective: Objective, settings: DistillationSettings):
        self._engine = engine
        self._objective = objective
        self._settings = settings
        self._parameters = engine.student.trainable()
        self._stopping = EarlyStopping(self._parameters, settings.patience)
        self._bank: RowBank | None = None
        self._weight = 0.0
        if settings.alignment is not None and objective.teacher is not None:
            self._weight = settings.alignment.cka_weight
            parts = (objective.train, objective.teacher, settings.alignment, objective.acting)
            self._bank = RowBank(engine.accelerator, *parts)

    def run(
        self, on_step: Callable[[dict[str, float]], None] | None = None, progress_bar: bool = True
    ) -> list[dict[str, float]]:
        """The history, one row a step. `on_step` gets each row as soon as it is known."""
        total, progress = self._settings.steps(len(self._objective.train)), self._resumed()
        hidden = not (progress_bar and self._engine.accelerator.is_main_process)
        with tqdm(
            total=total, initial=progress.step, disable=hidden, desc="distillation", unit="step"
        ) as bar:
            while progress.step < total and not progress.stopped:
                row = self._step(progress.step + 1)
                row["seconds"] += progress.history[-1]["seconds"] if progress.history else 0.0
                progress.step += 1
                if progress.step % self._settings.evaluate_every == 0 or progress.step == total:
                    self._validate(row, progress)
                progress.history.append(row)
                shown = ("loss",) if self._bank is None else ("loss", "similarity")
                bar.set_postfix({name: f"{row[name]:.3f}" for name in shown}, refresh=False)
                bar.update()
                if on_step is not None:
                    on_step(row)
                self._save(progress)
        self._stopping.restore()
        return progress.history

    def _step(self, step: int) -> dict[str, float]:
        started, rate = time.perf_counter(), self._engine.scheduler.get_last_lr()[0]
        batches = step_batches(step, len(self._objective.train), self._settings)
        self._engine.optimizer.zero_grad(set_to_none=True)
        try:
            found = self._backward(batches, self._measures_share(step))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise MemoryError(_too_large(step, self._settings)) from error
        loss = found.ce if self._settings.loss != "none" else 0.0
        loss += (
            self._weight * found.alignment.loss.item()
            if found.alignment is not None and self._weight > 0
            else 0.0
        )
        _stop_if_not_finite("loss", loss, step, batches)
        norm = self._engine.accelerator.clip_grad_norm_(self._parameters, self._settings.clip_norm)
        _stop_if_not_finite("gradient norm", whole(norm).item(), step, batches)
        self._engine.optimizer.step()
        self._engine.scheduler.step()
        columns: dict[str, Any] = {"similarity": math.nan, "noise_floor": math.nan, "skipped_pairs": 0}
        if self._bank is not None and found.alignment is not None:
            columns = self._bank.columns(found.alignment, batches, found.width)
        times = {"lr": rate, "seconds": time.perf_counter() - started - found.measuring}
        nothing = {"validation_accuracy": math.nan, "validation_ce": math.nan}
        columns["alignment_share"] = found.share
        return {"step": step, "loss": loss, "ce": found.ce, **columns, **times, **nothing}

    def _measures_share(self, step: int) -> bool:
        """At the first step and where accuracy is measured: it costs two backwards more."""
        alone = self._engine.accelerator.num_processes == 1
        return alone and (step == 1 or step % self._settings.evaluate_every == 0)

    def _backward(self, batches: list[Tensor], measures_share: bool) -> Gradients:
        """Accumulates the gradients of a step."""
        accelerator, forward = self._engine.accelerator, self._engine.forward
        constants, ces, alignment, width = self._constants(batches), [], None, 0
        share, measuring = math.nan, 0.0
        for i, batch in enumerate(batches):
            own = self._own(batch)
            with accelerator.no_sync(forward) if i < len(batches) - 1 else nullcontext():
                logits, features = self._run(own)
                ce = label_loss(logits, self._objective.labels[own].to(logits.device))
                terms = [ce / len(batches)] if self._settings.loss != "none" else []
                if self._bank is not None:
                    width = features.shape[-1]
                    alignment = self._bank.alignment(i, features, batches, constants)
                if alignment is not None and alignment.loss.requires_grad:
                    # Each process holds the gradient of its own rows and a distributed backward averages:
                    # undo it.
                    terms.append(self._weight * accelerator.num_processes * alignment.loss)
                if i == 0 and measures_share and len(terms) == 2:
                    began = time.perf_counter()
                    share = gradient_share(terms[1], terms[0], self._parameters)
                    measuring = time.perf_counter() - began
                accelerator.backward(torch.stack(terms).sum())
            ces.append(ce.detach())
        ce = accelerator.reduce(torch.stack(ces).mean(), "mean").item()
        return Gradients(ce, alignment, width, share, measuring)

    @torch.no_grad()
    def _constants(self, batches: list[Tensor]) -> list[Tensor] | None:
        """Activations of every global batch, where the bank holds more than one."""
        if self._bank is None or len(batches) == 1:
            return None
        return [self._bank.gathered(self._run(self._own(batch))[1]) for batch in batches]

    def _run(self, index: Tensor) -> tuple[Tensor, Tensor]:
        with self._autocast():
            return self._engine.forward(*self._objective.train.inputs(index))

    def _own(self, batch: Tensor) -> Tensor:
        """This process's share of a global batch."""
        share = len(batch) // self._engine.accelerator.num_processes
        return batch[self._engine.accelerator.process_index * share :][:share]

    def _autocast(self) -> torch.autocast:
        device = self._engine.accelerator.device.type
        return torch.autocast(device, torch.bfloat16, enabled=self._settings.precision == "bf16")

    def _validate(self, row: dict[str, float], progress: Progress) -> None:
        engine, objective = self._engine, self._objective
        with self._autocast():
            accuracy, ce = validate(
                engine.forward,
                objective.validation,
                objective.answers,
                self._settings.batch_size,
                engine.accelerator,
            )
        row |= {"validation_accuracy": accuracy, "validation_ce": ce}
        self._stopping.update(accuracy, progress)

    def _resumed(self) -> Progress:
        found = self._engine.checkpoint.load() if self._engine.checkpoint else None
        if found is None:
            return Progress()
        progress, self._stopping.best = found
        return progress

    def _save(self, progress: Progress) -> None:
        due = progress.step % self._settings.checkpoint_every == 0
        if self._engine.checkpoint and due:
            self._engine.checkpoint.save(progress, self._stopping.best)


def step_batches(step: int, n_examples: int, settings: DistillationSettings) -> list[Tensor]:
    """The global batches of a step, counted from 1: `bank_batches` index tensors, the same for every arm.

    Each pass over the data has an order that depends on the seed and the pass alone, so a resumed run needs
    no random state.
    """
    per_epoch = n_examples // settings.examples_per_step
    epoch, place = divmod(step - 1, per_epoch)
    order = np.random.default_rng([settings.seed, epoch]).permutation(n_examples)
    start = place * settings.examples_per_step
    chosen = torch.from_numpy(order[start : start + settings.examples_per_step])
    return list(chosen.split(settings.batch_size))


def _too_large(step: int, settings: DistillationSettings) -> str:
    """A similarity is of all prompts of a step at once, so a step cannot be halved without another result."""
    return (
        f"out of memory at step {step} with batch_size {settings.batch_size}: set "
        "distillation.gradient_checkpointing to true, or halve batch_size and double bank_batches"
    )


def _stop_if_not_finite(what: str, value: float, step: int, batches: list[Tensor]) -> None:
    if not math.isfinite(value):
        raise FloatingPointError(
            f"the {what} is {value} at step {step}, so its update is not made; its batch has the training "
            f"examples {torch.cat(batches).tolist()}. Lower the learning rate or cka_weight of distillation, "
            "or set its precision to fp32"
        )
