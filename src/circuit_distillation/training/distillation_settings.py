"""The settings of a distillation run, each declared once with its range; importing this imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from circuit_distillation.ranges import Count, CountOrZero, Flag, OneOf, Positive, Rate, Strict, Weight
from circuit_distillation.similarity import Estimator
from circuit_distillation.similarity.measures import MEASURES
from circuit_distillation.training.observables import OBSERVABLES

# Of transformers.SchedulerType those that need nothing but the number of steps.
Schedule = Literal[
    "constant_with_warmup",
    "constant",
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "inverse_sqrt",
]
Decay = Annotated[float, Field(strict=True, ge=0, lt=1)]  # of AdamW's moments


class AlignmentSettings(Strict):
    """Equation 7 without its cross-entropy. The default of each is that of conf/base."""

    observable: Annotated[str, OneOf(OBSERVABLES)] = "z"  # what of a head is compared
    rows: str = "last"  # tokens that are compared: a name of ROWS, or the role of a token
    similarity: Annotated[str, OneOf(MEASURES)] = "cka"
    estimator: Estimator = "biased"  # of HSIC; biased is eq. 1
    cka_weight: Weight = 1.0  # lambda of eq. 7, whatever the similarity
    pair_reduction: Literal["sum", "mean"] = "sum"  # sum is eq. 7


class TrainingSettings(Strict):
    """What an arm trains with beside its alignment. The default of each is that of conf/base."""

    epochs: Count = 6  # passes over the training split; an incomplete last batch of a pass is dropped
    batch_size: Annotated[int, Field(strict=True, ge=2)] = 64  # examples a batch, over all processes
    bank_batches: Count = 1  # batches a step; CE is averaged and the Gram matrices built over all of them
    schedule: Schedule = "constant_with_warmup"
    warmup_steps: CountOrZero = 5
    weight_decay: Weight = 0.01
    beta1: Decay = 0.9
    beta2: Decay = 0.98
    clip_norm: Positive = 1.0  # L2 norm of all gradients together
    weights: Literal["qkvo", "qo"] = "qkvo"  # weights of a trained head
    labels: Literal["hard", "soft", "gold"] = "hard"  # teacher's argmax, its distribution, the true answer
    precision: Literal["fp32", "bf16"] = "fp32"  # bf16: autocast; weights, similarity and losses stay
    gradient_checkpointing: Flag = False
    evaluate_every: Count = 48  # steps between validations; the last step is always validated
    patience: Count | None = None  # validations without a better accuracy until the run stops; None: never
    checkpoint_every: Count = 10  # steps between checkpoints, where a folder for them is given


class Alignment(AlignmentSettings):
    """What an arm aligns, and how."""

    sites: Literal["heads", "layers"] = "heads"  # heads, or the residual streams of their layers
    # The teacher on the same prompt, or (a control without content) on another prompt of the same layout.
    teacher_prompts: Literal["same", "permuted"] = "same"

    @model_validator(mode="after")
    def _fits(self) -> Alignment:
        distributed = self.sites == "heads" and OBSERVABLES[self.observable].distribution
        if MEASURES[self.similarity].distributions and not distributed:
            names = ", ".join(name for name, entry in OBSERVABLES.items() if entry.distribution)
            raise ValueError(
                f"`similarity` = {self.similarity} compares distributions, `observable` = {self.observable} "
                f"of {self.sites} is none: use cka or procrustes, or an observable of heads among {names}"
            )
        return self


class DistillationSettings(TrainingSettings):
    """Everything that one arm trains with; of `labels` an arm without a label loss has the history alone."""

    trained: Literal["all", "heads", "random_heads"] = "heads"  # weights
    learning_rate: Rate = 1e-3
    loss: Literal["ce", "kl", "none"] = "ce"  # label loss: to `labels`, to the teacher's distribution, none
    alignment: Alignment | None = None
    seed: CountOrZero = 0  # order of the data, and the draw of random heads

    @property
    def examples_per_step(self) -> int:
        return self.batch_size * self.bank_batches

    @property
    def rows(self) -> str:
        """Tokens whose activations are read."""
        return "last" if self.alignment is None else self.alignment.rows

    def steps(self, n_examples: int) -> int:
        """Optimizer steps over a training split of that size."""
        per_epoch = n_examples // self.examples_per_step
        if per_epoch == 0:
            raise ValueError(
                f"the training split has {n_examples} examples, a step takes {self.examples_per_step}: "
                "lower batch_size or bank_batches"
            )
        return self.epochs * per_epoch
