"""transformers' Trainer for a tuning corpus: its loop, accumulation, clipping and processes.

This adds what it lacks: the items of a step are drawn at random and cut into micro batches of similar length;
only responses are unembedded; a loss that is not finite stops a run before its update.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from accelerate.utils import reduce
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.training.finetuning_settings import FineTuneSettings
from circuit_distillation.training.run_checkpoint import Progress, RunCheckpoint
from circuit_distillation.training.sharding import whole
from circuit_distillation.training.tuning_tokens import TuningTokens


class ResponseLoss(nn.Module):
    """Summed cross-entropy of the response tokens; no other position is unembedded."""

    def __init__(self, model: CausalLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Tensor:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        hidden = self.model.model(**inputs, use_cache=False).last_hidden_state[:, :-1]
        labels = labels[:, 1:]  # the token before predicts
        where = labels != -100
        logits = self.model.lm_head(hidden[where])
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return nn.functional.cross_entropy(logits, labels[where], reduction="sum")


class Steps:
    """Micro batches of the steps from `progress` on, of one process."""

    def __init__(self, corpus: TuningTokens, settings: FineTuneSettings, rank: int, n_ranks: int) -> None:
        self.corpus, self.settings, self.rank, self.n_ranks = corpus, settings, rank, n_ranks
        self.progress, self.n_parts = Progress(), 1
        self.loss: Tensor | float = 0.0  # of the step so far, on this process
        self.per_epoch = len(corpus) // settings.batch_size
        self.total = settings.epochs * self.per_epoch

    def cut(self, size: float) -> int:
        """Micro batches of at most about `size` items from now on; how many a step, alike on all ranks."""
        n_items = self.settings.batch_size
        self.n_parts = min(math.ceil(n_items / (int(size) * self.n_ranks)), n_items // self.n_ranks)
        return self.n_parts

    def __len__(self) -> int:
        return self.total * self.n_parts

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for step in range(self.progress.step, self.total):
            own = self.corpus.by_length(self.items(step))[self.rank :: self.n_ranks]
            yield from map(self.corpus.batch, np.array_split(own, self.n_parts))

    def items(self, step: int) -> np.ndarray:
        """The items of a step, counted from 0; the order of a pass depends on seed and pass alone."""
        epoch, place = divmod(step, self.per_epoch)
        order = np.random.default_rng([self.settings.seed, epoch]).permutation(len(self.corpus))
        return order[place * self.settings.batch_size :][: self.settings.batch_size]


class TuningTrainer(Trainer):
    """Trains the model of `forward`; sharded: FSDP has it already."""

    def __init__(
        self, forward: ResponseLoss, arguments: TrainingArguments, steps: Steps, sharded: bool, **others: Any
    ) -> None:
        super().__init__(forward.model, arguments, **others)
        self.remove_callback(PrinterCallback)
        self.forward, self.steps, self.sharded = forward, steps, sharded
        self.model_accepts_loss_kwargs = True  # count a step's response tokens, by which compute_loss divides

    def get_train_dataloader(self) -> Any:
        return self.steps

    def _wrap_model(self, model: CausalLM, training: bool = True, dataloader: Any = None) -> nn.Module:
        return self.forward if self.sharded else self.accelerator.prepare_model(self.forward)

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """The norm of all gradients before clipping; an infinite one would make weights NaN."""
        norm = super()._clip_grad_norm(model)
        _stop_if_not_finite("gradient norm", float(whole(norm)), self.state.global_step)
        return norm

    def compute_loss(
        self, model: CausalLM, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """A micro batch's share of the mean loss of a step's response tokens."""
        half = self.steps.settings.precision == "bf16"
        with torch.autocast(self.args.device.type, torch.bfloat16, enabled=half):
            loss = model(**inputs) / num_items_in_batch
        self.steps.loss = self.steps.loss + loss.detach()
        # A distributed backward pass averages over processes, but the sum over all items is needed.
        return loss * self.args.world_size


class Journal(TrainerCallback):
    """The history of a run, its bar and its checkpoint."""

    def __init__(self, steps: Steps, checkpoint: RunCheckpoint, label: str) -> None:
        self.steps, self.progress, self.checkpoint = steps, steps.progress, checkpoint
        done, hidden = steps.progress.step, steps.rank > 0
        self.bar = tqdm(total=steps.total, initial=done, desc=label, unit="step", disable=hidden)
        self.updating = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if self.updating:  # half of the weights may have changed, so this step cannot be repeated
            raise ValueError(
                f"out of memory in the update of step {self.progress.step + 1}, where smaller "
                "batches do not help: choose method lora, or more processes and sharded"
            )
        state.global_step = self.progress.step

    def on_step_begin(
        self, args: Any, state: Any, control: Any, lr_scheduler: Any = None, **others: Any
    ) -> None:
        self.started, self.rate = time.perf_counter(), lr_scheduler.get_last_lr()[0]
        self.steps.loss = 0.0
        torch.manual_seed((1_000_003 * args.seed + state.global_step) % 2**31)  # of dropout

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self.loss = reduce(torch.as_tensor(self.steps.loss), "sum").item()
        _stop_if_not_finite("loss", self.loss, state.global_step)
        self.updating = True

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self.updating, self.progress.step, history = False, state.global_step, self.progress.history
        seconds = time.perf_counter() - self.started + (history[-1]["seconds"] if history else 0.0)
        history.append({"step": state.global_step, "loss": self.loss, "lr": self.rate, "seconds": seconds})
        self.bar.set_postfix(loss=f"{self.loss:.3f}", refresh=False)
        self.bar.update()
        if state.global_step % self.steps.settings.checkpoint_every == 0:
            self.checkpoint.save(self.progress, None)

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self.bar.close()


def _stop_if_not_finite(what: str, value: float, step: int) -> None:
    if not math.isfinite(value):
        raise FloatingPointError(
            f"the {what} is {value} at step {step + 1}, so its update is not made: lower finetuning's "
            "learning_rate, or set its precision to fp32"
        )
