"""The mapping of heads, and the training of the students: the library's settings as blocks of the files."""

from __future__ import annotations

from typing import Annotated

from pydantic import field_validator, model_validator

from circuit_distillation.arms import EXTRA_ARMS
from circuit_distillation.mapping.match import RULES
from circuit_distillation.mapping.settings import MappingChoices
from circuit_distillation.parameters.looks import joined_by_plus
from circuit_distillation.parameters.tasks import by_task
from circuit_distillation.ranges import Count, Flag, Fraction, FromFiles, OneOf, Processes, Rate, Strict
from circuit_distillation.training.distillation_settings import AlignmentSettings, TrainingSettings
from circuit_distillation.training.rows import ACTING, ROWS


@by_task(others=Fraction)
class Shares(Strict):
    """Share of a student's heads that are relevant, for each task."""


class HeadMapping(FromFiles, MappingChoices):
    """Equations 3 to 5; `function_rule` is the rule of the mapping by function beside that of equation 5."""

    fraction: Shares
    function_rule: Annotated[str, OneOf(RULES)]


class Distillation(FromFiles, TrainingSettings, AlignmentSettings):
    """Equations 6 and 7, and the optimiser, for all arms: each takes what it uses (`parameters.resolve`)."""

    n_train: Count
    learning_rate_heads: Rate
    learning_rate_full: Rate
    rows: Annotated[str, OneOf(ROWS)]
    processes: Processes
    sharded: Flag
    extra_arms: tuple[Annotated[str, OneOf(EXTRA_ARMS)], ...]

    _joined = field_validator("extra_arms", mode="before")(joined_by_plus)

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
        if self.rows == ACTING and "layer_cka" in self.extra_arms:
            raise ValueError(
                "`rows` = acting is for heads: leave layer_cka out of `extra_arms`, or set `rows` to last"
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
