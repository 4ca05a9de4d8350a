"""Settings of the recipes for the mini family; the parameter files say where each number is from.

A recipe has settings that the three models share, `common`, and a block for each model. Learning rates are
AdamW's. `lasso` is γ of the group lasso on the heads' output blocks. An accuracy is over the whole
vocabulary; `validation_prompts` decide a stop.
"""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field, model_validator

from circuit_distillation.models.mini_sizes import MINI_SIZES
from circuit_distillation.ranges import (
    Accuracy,
    Count,
    CountOrZero,
    DomainShare,
    Flag,
    OfRoles,
    Rate,
    Strict,
    Weight,
)
from circuit_distillation.tasks.theory_of_mind import TheoryOfMind
from circuit_distillation.tasks.visibility import TEMPLATES

Common = TypeVar("Common")
Own = TypeVar("Own")
TemplateShares = dict[Literal[tuple(TEMPLATES)], Weight]


class RecipeSettings(OfRoles[Own], Generic[Common, Own]):
    """What the three models of a recipe share, and each one's own settings."""

    common: Common


class ScaffoldedRole(Strict):
    """`scaffold_layer`: layers before the early exit."""

    scaffold_layer: Annotated[int, Field(strict=True, ge=1)]
    target_accuracy: Accuracy


class Scaffolded(RecipeSettings[Common, Own], Generic[Common, Own]):
    """A recipe with early exits."""

    @model_validator(mode="after")
    def _scaffolds_fit(self) -> Scaffolded:
        for role, size in MINI_SIZES.items():
            if self.of(role).scaffold_layer >= size.n_layers:
                raise ValueError(
                    f"`{role}.scaffold_layer` must be below {size.n_layers}, the number of its layers"
                )
        return self


class EntityPretrainingRole(ScaffoldedRole):
    """A base model of entity tracking."""

    learning_rate: Rate


class EntityPretrainingCommon(Strict):
    """Entity tracking from scratch: learn, consolidate, calibrate."""

    learned_accuracy: Accuracy  # on scenes of three boxes: ends the first phase
    max_learning_steps: Count
    learning_lasso: Weight
    consolidation_steps: Count
    consolidation_boxes: Annotated[int, Field(strict=True, ge=2, le=7)]  # in the largest scenes
    lasso: Weight
    calibration_learning_rate: Rate
    max_calibration_steps: Count
    tokens_per_step: Count
    validation_prompts: Count


class EntityPretraining(Scaffolded[EntityPretrainingCommon, EntityPretrainingRole]):
    """Base models of entity tracking."""


class EntityTuningCommon(Strict):
    """Arithmetic with a rehearsal, then a mixture; shares are those of entity-tracking prompts."""

    corpus_learning_rate: Rate
    corpus_steps: Count
    corpus_batch: Count
    corpus_lasso: Weight
    rehearsal_share: DomainShare
    mixture_learning_rate: Rate
    max_mixture_steps: Count
    in_domain_share: DomainShare
    lasso: Weight
    validation_prompts: Count


class EntityTuning(Scaffolded[EntityTuningCommon, ScaffoldedRole]):
    """Tuned models of entity tracking."""


class BeliefPretrainingRole(Strict):
    """A base model of theory of mind; without `consolidation_steps` there is no second phase."""

    learning_rate: Rate
    log_lasso: Flag
    consolidation_steps: CountOrZero


class BeliefPretrainingCommon(Strict):
    """Theory of mind from scratch; `learned_accuracy` is that of the worst cell."""

    base_templates: TemplateShares
    stories_per_step: Count
    lasso: Weight
    consolidation_lasso: Weight
    learned_accuracy: Accuracy
    min_steps: CountOrZero
    max_steps: Count
    validation_prompts: Count

    @model_validator(mode="after")
    def _fits(self) -> BeliefPretrainingCommon:
        _check_shares("base_templates", self.base_templates)
        _check_steps("max_steps", self.min_steps, self.max_steps)
        return self


class BeliefPretraining(RecipeSettings[BeliefPretrainingCommon, BeliefPretrainingRole]):
    """Base models of theory of mind."""


class BeliefTuningRole(Strict):
    """A tuned model of theory of mind; `target_accuracy` is that of the worst cell."""

    learning_rate: Rate
    lasso: Weight
    target_accuracy: Accuracy
    must_reach_target: Flag
    max_steps: Count


class BeliefTuningCommon(Strict):
    """Instructions and stories in one mixture; the learning rate falls after `constant_steps`."""

    tuning_templates: TemplateShares
    corpus_batch: Count
    corpus_only_steps: Count
    response_weight: Weight
    in_domain_share: DomainShare
    constant_steps: Count
    min_steps: CountOrZero
    validation_prompts: Count

    @model_validator(mode="after")
    def _fits(self) -> BeliefTuningCommon:
        _check_shares("tuning_templates", self.tuning_templates)
        a_story = TheoryOfMind.prompts_a_group
        if in_domain_prompts(self.corpus_batch, self.in_domain_share) < a_story:
            raise ValueError(
                f"`corpus_batch` = {self.corpus_batch} and `in_domain_share` = {self.in_domain_share} leave "
                f"no room for one story of {a_story} prompts: raise one of them"
            )
        return self


class BeliefTuning(RecipeSettings[BeliefTuningCommon, BeliefTuningRole]):
    """Tuned models of theory of mind."""

    @model_validator(mode="after")
    def _steps_fit(self) -> BeliefTuning:
        for role in MINI_SIZES:
            _check_steps(f"{role}.max_steps", self.common.min_steps, self.of(role).max_steps)
        return self


class PromptRole(Strict):
    """A model of a task without a recipe of its own."""

    learning_rate: Rate
    target_accuracy: Accuracy
    must_reach_target: Flag


class PromptPretrainingCommon(Strict):
    """Base models: prompts of the task until a mark is reached."""

    prompts_per_step: Count
    lasso: Weight
    max_steps: Count
    validation_prompts: Count


class PromptPretraining(RecipeSettings[PromptPretrainingCommon, PromptRole]):
    """Base models of a task without a recipe of its own."""


class PromptTuningCommon(Strict):
    """Tuned models: instructions and prompts in one mixture."""

    corpus_batch: Count
    corpus_only_steps: Count
    in_domain_share: DomainShare
    lasso: Weight
    max_steps: Count
    validation_prompts: Count


class PromptTuning(RecipeSettings[PromptTuningCommon, PromptRole]):
    """Tuned models of a task without a recipe of its own."""


def in_domain_prompts(n_instructions: int, share: float) -> float:
    """Prompts beside so many instructions: a share p of all means p / (1 - p) for every instruction."""
    return n_instructions * share / (1 - share)


def _check_shares(name: str, shares: dict[str, float]) -> None:
    """ValueError unless some template is drawn."""
    if not sum(shares.values()) > 0:
        raise ValueError(f"`{name}` must give at least one template a share above 0")


def _check_steps(name: str, first: int, limit: int) -> None:
    """ValueError if a stop rule would look for the first time after the last step."""
    if first > limit:
        raise ValueError(
            f"`{name}` = {limit} ends before `min_steps` = {first}: raise one or lower the other"
        )
