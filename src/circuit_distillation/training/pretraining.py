"""The training loop of the mini family: packed batches, a group lasso on heads and a stop rule."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.training.packing import PackedBatch, target_results

Sampler = Callable[[np.random.Generator], list[PackedBatch]]


@dataclass(frozen=True)
class TrainSettings:
    """AdamW, linear warm-up to a constant learning rate, which falls as 1 / step after ``constant_steps``
    (None: never); ``lasso`` is γ of the group lasso on heads, or of its logarithmic form with ``log_lasso``.
    """

    learning_rate: float
    max_steps: int
    lasso: float = 0.0
    seed: int = 0
    log_lasso: bool = False
    warmup_steps: int = 50
    constant_steps: int | None = None
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 1."""
        fall = 1.0 if self.constant_steps is None else min(1.0, self.constant_steps / step)
        return self.learning_rate * min(1.0, step / max(1, self.warmup_steps)) * fall


@dataclass(frozen=True)
class StopRule:
    """Stop as soon as ``accuracy(model, n)`` over n validation prompts reaches ``target``.

    From ``first_step`` on, ``n_coarse`` prompts say whether the ``n_final`` prompts are worth asking; only
    those decide. The next look is ``every`` steps later, and three times as many while the target is more
    than ``far`` away. ``required``: a run which never gets there is an error, not a weaker model.
    """

    accuracy: Callable[[CausalLM, int], float]
    target: float
    every: int
    first_step: int = 0
    n_coarse: int = 500
    n_final: int = 3000
    coarse_margin: float = 0.03
    far: float = 1.0
    required: bool = True

    def check(self, model: CausalLM) -> tuple[float, bool]:
        """(accuracy, reached) of the model as it is."""
        accuracy = self.accuracy(model, self.n_coarse)
        if accuracy < self.target - self.coarse_margin:
            return accuracy, False
        accuracy = self.accuracy(model, self.n_final)
        return accuracy, accuracy >= self.target

    def wait(self, accuracy: float) -> int:
        """Steps until the next look."""
        return self.every * (3 if accuracy < self.target - self.far else 1)


def head_norms(model: CausalLM) -> Tensor:
    """‖W_O[head]‖_F, the Frobenius norm of each head's block of o_proj, [layer * head]."""
    n_heads = model.config.num_attention_heads
    norms = []
    for layer in model.model.layers:
        weight = layer.self_attn.o_proj.weight  # [d_model, head * d_head]
        norms.append(weight.view(weight.shape[0], n_heads, -1).pow(2).sum((0, 2)).add(1e-12).sqrt())
    return torch.cat(norms)


def group_lasso(model: CausalLM) -> Tensor:
    """Σ over heads of ‖W_O[head]‖_F (scalar)."""
    return head_norms(model).sum()


def log_group_lasso(model: CausalLM) -> Tensor:
    """Σ over heads of log(‖W_O[head]‖_F + 0.1) (scalar): reweighted l1 of Candès, Wakin and Boyd 2008.

    It presses on a head of norm 0 eleven times as hard as on one of norm 1, so it removes weak heads and
    keeps strong ones.
    """
    return (head_norms(model) + 0.1).log().sum()


def answer_accuracy(model: CausalLM, batches: list[PackedBatch], n: int | None = None) -> float:
    """Share of right argmax predictions of the target "answer" over the first n labels (None: all)."""
    correct: list[Tensor] = []
    with torch.no_grad():
        for batch in batches:
            correct += [result.correct for result in target_results(model, batch) if result.name == "answer"]
            if n is not None and sum(map(len, correct)) >= n:
                break
    return torch.cat(correct)[:n].double().mean().item()


def train_step(
    model: CausalLM, batches: list[PackedBatch], optimizer: torch.optim.Optimizer, settings: TrainSettings
) -> dict[str, float]:
    """One update on the mean loss of the batches plus the lasso; returns each target's loss and accuracy."""
    optimizer.zero_grad(set_to_none=True)
    losses: dict[str, list[float]] = {}
    for batch in batches:
        results = target_results(model, batch)
        (torch.stack([result.loss for result in results]).sum() / len(batches)).backward()
        for result in results:
            losses.setdefault(result.name, []).append(result.loss.item())
            losses.setdefault(f"{result.name}_accuracy", []).append(result.correct.double().mean().item())
    if settings.lasso:
        penalty = log_group_lasso if settings.log_lasso else group_lasso
        (settings.lasso * penalty(model)).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    optimizer.step()
    return {name: float(np.mean(values)) for name, values in losses.items()}


def train_on(
    model: CausalLM,
    sample: Sampler,
    settings: TrainSettings,
    *,
    stop: StopRule | None = None,
    progress: str = "training",
) -> list[dict[str, float]]:
    """Train all weights in place on ``sample(rng)``, a list of packed batches a step; returns one row a step.

    Rows hold step, learning rate, seconds since the start, every target's loss and accuracy, and
    ``validation_accuracy`` (NaN where not evaluated). Raises ``RuntimeError`` if a required stop rule is
    not met within ``max_steps``.
    """
    from tqdm.auto import tqdm

    torch.set_flush_denormal(True)  # lasso drives weights towards zero, and denormal numbers are slow on CPU
    rng = np.random.default_rng(settings.seed)
    decay, betas = settings.weight_decay, settings.betas
    optimizer = torch.optim.AdamW(model.parameters(), betas=betas, weight_decay=decay)
    history: list[dict[str, float]] = []
    start, reached = time.perf_counter(), False
    look = (stop.first_step or stop.every) if stop else 0  # the next step that the stop rule looks at
    model.train()
    with tqdm(total=settings.max_steps, desc=progress, mininterval=2.0) as bar:
        for step in range(1, settings.max_steps + 1):
            rate = settings.rate(step)
            optimizer.param_groups[0]["lr"] = rate
            row = {"step": step, "lr": rate, **train_step(model, sample(rng), optimizer, settings)}
            lost = [name for name, value in row.items() if not np.isfinite(value)]
            if lost:
                raise FloatingPointError(
                    f"{progress}: {lost[0]} is {row[lost[0]]} at step {step}: lower its learning_rate"
                )
            row["validation_accuracy"] = float("nan")
            if stop and step == look:
                row["validation_accuracy"], reached = stop.check(model)
                look += stop.wait(row["validation_accuracy"])
            row["seconds"] = time.perf_counter() - start
            history.append(row)
            bar.update()
            if not np.isnan(row["validation_accuracy"]):
                bar.set_postfix(accuracy=f"{row['validation_accuracy']:.3f}")
            if reached:
                break
    model.eval()
    if stop and stop.required and not reached:
        raise RuntimeError(
            f"{progress}: accuracy {stop.accuracy(model, stop.n_final):.3f} at step {settings.max_steps} is "
            f"below {stop.target}: allow more steps or choose another seed"
        )
    return history
