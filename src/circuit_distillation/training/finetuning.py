"""Tuning a loaded model on a corpus: all weights or LoRA, on Accelerate, and a killed run goes on."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from circuit_distillation.compute.halving import within_memory
from circuit_distillation.models.loading import model_hash
from circuit_distillation.training.adapters import adapted
from circuit_distillation.training.finetuning_settings import FineTuneSettings
from circuit_distillation.training.float_weights import trained_in_float32
from circuit_distillation.training.packed_instructions import PromptAndResponse
from circuit_distillation.training.run_checkpoint import Progress, RunCheckpoint
from circuit_distillation.training.sharding import reshard, shard
from circuit_distillation.training.tuning_tokens import (
    TuningBatch,
    TuningTokens,
    batch_of,
    micro_batches,
    step_items,
    tokenise,
)

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Tuning:
    """What tuning a model came to: a row a step (step, loss, lr, seconds, tokens), and the items left out."""

    history: list[dict[str, float]]
    n_items: int
    n_long: int


class ResponseLoss(nn.Module):
    """Summed cross-entropy of the response tokens; no other position is unembedded."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Tensor:
        hidden = self.model.model(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False
        ).last_hidden_state
        where = labels != -100
        logits = self.model.lm_head(hidden[where])
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return nn.functional.cross_entropy(logits, labels[where], reduction="sum")


def finetune(
    model: nn.Module,
    tokenizer: Any,
    items: Sequence[PromptAndResponse],
    settings: FineTuneSettings,
    *,
    checkpoint_folder: str | Path | None = None,
    shard: bool = False,
    on_step: Callable[[dict[str, float]], None] | None = None,
    label: str = "tuning",
) -> Tuning:
    """Tune `model` in place; it is left plain, adapters merged, in evaluation mode, where it was.

    The same call goes on from `checkpoint_folder` after a kill and ends with the same weights; the file is
    removed at the end. shard: under several processes, spread model and optimizer over them (FSDP2), where
    the model stays: read it with `sharding.whole_state_dict`. ValueError for a corpus that is smaller than a
    step, and for adapters of a spread model; FloatingPointError for a loss that is not finite.
    """
    from accelerate import Accelerator

    if shard and settings.method == "lora":
        raise ValueError("adapters fit on one GPU: leave sharded false, or set the method to full")

    corpus = tokenise(tokenizer, items, settings.max_tokens)
    if len(corpus) < settings.batch_size:
        raise ValueError(f"{len(corpus)} items make no step of {settings.batch_size}: lower batch_size")
    path = None
    if checkpoint_folder is not None:
        path = Path(checkpoint_folder) / f"{_fingerprint(model, corpus, settings)}.safetensors"
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    if settings.batch_size < accelerator.num_processes:
        raise ValueError(f"batch_size {settings.batch_size} is below {accelerator.num_processes} processes")
    with _prepared(model, None if shard else accelerator.device, settings):
        run = _Run(model, corpus, settings, accelerator, path, tokenizer.eos_token_id, shard)
        history = run.steps(on_step, label)
        reshard(run.forward)
    return Tuning(history, len(corpus), corpus.n_long)


@contextmanager
def _prepared(model: nn.Module, device: torch.device | None, settings: FineTuneSettings) -> Iterator[None]:
    """On the device, in training mode, with what trains marked; a plain model at its place at the end.

    Without a device it stays: sharding moves it layer by layer.
    """
    home = next(model.parameters()).device
    model.train()
    if device is not None:
        model.to(device)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if settings.method == "full":
        model.requires_grad_(True)
    try:
        with (
            trained_in_float32(model)
            if settings.method == "full"
            else adapted(model, settings.lora, settings.seed)
        ):
            yield
    finally:
        if settings.gradient_checkpointing:
            model.gradient_checkpointing_disable()
        model.zero_grad(set_to_none=True)
        if device is not None:
            model.to(home)
        model.eval()


class _Run:
    """The moving parts of one tuning run."""

    def __init__(
        self,
        model: nn.Module,
        corpus: TuningTokens,
        settings: FineTuneSettings,
        accelerator: Accelerator,
        path: Path | None,
        filler: int,
        sharded: bool,
    ) -> None:
        from transformers import get_scheduler

        self.corpus, self.settings, self.accelerator, self.filler = corpus, settings, accelerator, filler
        self.micro_batch_size = settings.micro_batch_size
        self.total = settings.epochs * (len(corpus) // settings.batch_size)
        self.forward = ResponseLoss(model)
        if sharded:
            shard(self.forward, model, accelerator.device, kept=set())
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.trained, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.scheduler = get_scheduler(settings.schedule, self.optimizer, settings.warmup_steps, self.total)
        if not sharded:
            self.forward = accelerator.prepare(self.forward)
        self.checkpoint = path and RunCheckpoint(
            path, self.trained, self.optimizer, self.scheduler, writes=accelerator.is_main_process
        )

    def steps(self, on_step: Callable[[dict[str, float]], None] | None, label: str) -> list[dict[str, float]]:
        """All steps that are left; the history of all there were."""
        found = self.checkpoint.load() if self.checkpoint else None
        progress = found[0] if found else Progress()
        hidden = not self.accelerator.is_main_process
        with tqdm(total=self.total, initial=progress.step, desc=label, unit="step", disable=hidden) as bar:
            while progress.step < self.total:
                row = self._step(progress.step)
                row["seconds"] += progress.history[-1]["seconds"] if progress.history else 0.0
                progress.step += 1
                progress.history.append(row)
                bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
                bar.update()
                if on_step is not None:
                    on_step(row)
                if self.checkpoint and progress.step % self.settings.checkpoint_every == 0:
                    self.checkpoint.save(progress, None)
        if self.checkpoint and self.accelerator.is_main_process:
            self.checkpoint.remove()
        return progress.history

    def _step(self, step: int) -> dict[str, float]:
        started, rate = time.perf_counter(), self.scheduler.get_last_lr()[0]
        items = step_items(len(self.corpus), self.settings.batch_size, step, self.settings.seed)
        loss = self._loss(items, step)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss} at step {step + 1}, whose update is not made: lower finetuning's "
                "learning_rate, or set its precision to fp32"
            )
        self.accelerator.clip_grad_norm_(self.trained, self.settings.clip_norm)
        self.optimizer.step()
        self.scheduler.step()
        tokens = float(self.corpus.lengths[items].sum())
        seconds = time.perf_counter() - started
        return {"step": step + 1, "loss": loss, "lr": rate, "seconds": seconds, "tokens": tokens}

    def _loss(self, items, step: int) -> float:
        """Gradients of a step and its loss; where memory ends, in smaller parts from then on."""

        def run(size: float) -> float:
            self.micro_batch_size = int(size)
            self.optimizer.zero_grad(set_to_none=True)
            with torch.random.fork_rng():
                torch.manual_seed((1_000_003 * self.settings.seed + step) % 2**31)  # of dropout
                return self._backward(items)

        if self.accelerator.num_processes > 1:  # the others would wait for what this one does again
            return run(self.micro_batch_size)
        return within_memory("tuning", self.micro_batch_size, "items", run)

    def _backward(self, items) -> float:
        """Gradients of a step, each process its share of the parts; the mean loss of a response token."""
        accelerator = self.accelerator
        parts = micro_batches(self.corpus, items, self.micro_batch_size, accelerator.num_processes)
        n_tokens, total = self.corpus.n_responses(items), torch.zeros((), device=accelerator.device)
        own = parts[accelerator.process_index :: accelerator.num_processes]
        for index, part in enumerate(own):
            with nullcontext() if index == len(own) - 1 else accelerator.no_sync(self.forward):
                with torch.autocast(
                    accelerator.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"
                ):
                    loss = self.forward(*self._inputs(batch_of(self.corpus, part, self.filler)))
                # A distributed backward averages over processes; the sum over all items is wanted.
                accelerator.backward(loss * accelerator.num_processes / n_tokens)
            total += loss.detach()
        return accelerator.reduce(total, "sum").item() / n_tokens

    def _inputs(self, batch: TuningBatch) -> tuple[Tensor, Tensor, Tensor]:
        parts = (batch.input_ids, batch.attention_mask, batch.labels)
        return tuple(part.to(self.accelerator.device) for part in parts)


def _fingerprint(model: nn.Module, corpus: TuningTokens, settings: FineTuneSettings) -> str:
    """SHA-256 over all that determines a run."""
    text = json.dumps([model_hash(model), corpus.digest(), settings.model_dump()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
