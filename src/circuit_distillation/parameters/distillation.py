"""The mapping of heads, and the training of the students."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from circuit_distillation.grid import CORPUS_ARMS, EXTRA_ARMS, INSTRUCT, KINDS, PAPER_ARMS
from circuit_distillation.parameters.tasks import by_task
from circuit_distillation.ranges import (
    Count,
    CountOrZero,
    Flag,
    Fraction,
    Positive,
    Processes,
    Rate,
    Strict,
    Weight,
)

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
ExtraArm = Literal[EXTRA_ARMS]
ARMS = (*KINDS, "tuned_corpus", INSTRUCT, *PAPER_ARMS, *CORPUS_ARMS, *EXTRA_ARMS)


@by_task(others=Fraction)
class Shares(Strict):
    """Share of a student's heads that are relevant, for each task."""


class HeadMapping(Strict):
    """Equations 3 to 5."""

    student_form: Literal["difference", "ratio"]
    baseline: Literal["student", "teacher"]
    performance: Literal["logprob", "accuracy", "logit_diff"]
    rule: Literal["nearest", "one_to_one", "profile", "cka", "random"]
    student_heads: Literal["top_impact", "discovered"]
    fraction: Shares
    random_from: Literal["circuit", "any_head"]


class Distillation(Strict):
    """Equations 6 and 7, and the optimiser; fields as in `training.distillation_settings`."""

    n_train: Count
    epochs: Count
    batch_size: Annotated[int, Field(strict=True, ge=2)]
    bank_batches: Count
    learning_rate_heads: Rate
    learning_rate_full: Rate
    schedule: Schedule
    warmup_steps: CountOrZero
    weight_decay: Weight
    beta1: Decay
    beta2: Decay
    clip_norm: Positive
    weights: Literal["qkvo", "qo"]
    labels: Literal["hard", "soft", "gold"]
    rows: Literal["last", "answer", "all"]
    similarity: Literal["cka", "procrustes"]
    estimator: Literal["biased", "unbiased"]
    cka_weight: Weight
    pair_reduction: Literal["sum", "mean"]
    precision: Literal["fp32", "bf16"]
    gradient_checkpointing: Flag
    evaluate_every: Count
    patience: Count | None
    checkpoint_every: Count
    processes: Processes
    sharded: Flag
    extra_arms: tuple[ExtraArm, ...]

    @field_validator("extra_arms", mode="before")
    @classmethod
    def _joined_by_plus(cls, arms: Any) -> Any:
        """`full_kl+layer_cka`: on a command line a comma would end the parameter."""
        return arms.split("+") if isinstance(arms, str) else arms

    @model_validator(mode="after")
    def _fits(self) -> Distillation:
        a_step = self.batch_size * self.bank_batches
        if a_step > self.n_train:
            raise ValueError(
                f"a step takes `batch_size` x `bank_batches` = {a_step} prompts, `n_train` = {self.n_train} "
                "has fewer: lower one of the first or raise the last"
            )
        if self.estimator == "unbiased" and self.rows != "all" and a_step < 4:
            raise ValueError(
                f"the unbiased HSIC needs 4 rows, `batch_size` x `bank_batches` = {a_step}: raise one of them"
            )
        if self.batch_size % self.processes:
            raise ValueError(
                f"`processes` = {self.processes} do not share `batch_size` = {self.batch_size} evenly: "
                "make it a multiple"
            )
        if self.sharded and self.processes == 1:
            raise ValueError("`sharded` spreads a student over processes: set `processes` to 2 or more")
        if len(set(self.extra_arms)) < len(self.extra_arms):
            raise ValueError(f"`extra_arms` names an arm twice: {', '.join(self.extra_arms)}")
        return self
