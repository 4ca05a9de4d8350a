"""The settings of a distillation run; everything that the arms of one comparison share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args, get_type_hints


@dataclass(frozen=True)
class DistillationSettings:
    """Defaults are those of conf/base. The same settings serve every arm, with two learning rates."""

    epochs: int = 12  # passes over the training split; an incomplete last batch of a pass is dropped
    batch_size: int = 64  # examples a batch, over all processes
    bank_batches: int = 1  # batches a step; CE is averaged and the Gram matrices built over all of them
    learning_rate_heads: float = 1e-3  # where heads train
    learning_rate_full: float = 3e-4  # where all weights train
    schedule: str = "constant_with_warmup"  # any name of transformers.SchedulerType
    warmup_steps: int = 5
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.98
    clip_norm: float = 1.0  # L2 norm of all gradients together
    weights: Literal["qkvo", "qo"] = "qkvo"  # weights of a trained head
    labels: Literal["hard", "soft", "gold"] = "hard"  # teacher's argmax, its distribution, the true answer
    rows: str = "last"  # tokens in the Gram matrices: last, answer, all, or a role
    similarity: Literal["cka", "procrustes"] = "cka"
    estimator: Literal["biased", "unbiased"] = "biased"  # HSIC; biased is eq. 1
    cka_weight: float = 1.0  # lambda of eq. 7
    pair_reduction: Literal["sum", "mean"] = "sum"  # sum is eq. 7
    precision: Literal["fp32", "bf16"] = "fp32"  # bf16: autocast; weights, CKA and losses stay as they are
    gradient_checkpointing: bool = False
    evaluate_every: int = 12  # steps between validations; the last step is always validated
    patience: int | None = None  # validations without a better accuracy until the run stops; None: never
    checkpoint_every: int = 10  # steps between checkpoints, where a folder for them is given
    seed: int = 0  # order of the data, and the draw of random heads

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            value, choices = getattr(self, name), get_args(kind)
            if choices and isinstance(choices[0], str) and value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        for name in (
            "epochs",
            "batch_size",
            "bank_batches",
            "evaluate_every",
            "checkpoint_every",
            "clip_norm",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.patience is not None and self.patience <= 0:
            raise ValueError(f"patience must be above 0, or None, got {self.patience}")
        if self.cka_weight < 0:
            raise ValueError(f"cka_weight must not be negative, got {self.cka_weight}")

    @property
    def examples_per_step(self) -> int:
        return self.batch_size * self.bank_batches

    def steps(self, n_examples: int) -> int:
        """Optimizer steps over a training split of that size."""
        per_epoch = n_examples // self.examples_per_step
        if per_epoch == 0:
            raise ValueError(
                f"the training split has {n_examples} examples, a step takes {self.examples_per_step}: "
                "lower batch_size or bank_batches"
            )
        return self.epochs * per_epoch
