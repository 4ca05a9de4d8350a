"""Settings of the recipes for the mini family; the parameter files give the source of each number.

A recipe has settings that the three models share, `common`, and a block for each model. Learning rates are
AdamW's. `lasso` is γ of the group lasso on the heads' output blocks. An accuracy is over the whole
vocabulary; `validation_prompts` decide a stop.
"""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, Field, model_validator

from circuit_distillation.models.mini_sizes import MINI_SIZES
from circuit_distillation.ranges import (
    Accuracy,
    Count,
    CountOrZero,
    DomainShare,
    Flag,
    OneOf,
    Rate,
    Strict,
    Weight,
)
from circuit_distillation.tasks.theory_of_mind import TheoryOfMind
from circuit_distillation.tasks.visibility import TEMPLATES
from circuit_distillation.training.student_settings import PrunedStudents

Common = TypeVar("Common")
Own = TypeVar("Own")


def _some_drawn(shares: dict[str, float]) -> dict[str, float]:
    """The same. ValueError unless some template is drawn."""
    if not sum(shares.values()) > 0:
        raise ValueError("must give at least one template a share above 0")
    return shares


TemplateShares = Annotated[dict[Annotated[str, OneOf(TEMPLATES)], Weight], AfterValidator(_some_drawn)]


class RecipeSettings(Strict, Generic[Common, Own]):
    """What the three models of a recipe share, and each one's own settings."""

    common: Common
    small: Own
    medium: Own
    large: Own

    def of(self, role: str) -> Own:
        """The settings of a role."""
        return getattr(self, role)


class Marked(Strict):
    """A model that is trained up to a target accuracy, which it may have to reach."""

    learning_rate: Rate
    target_accuracy: Accuracy
    must_reach_target: Flag


class Mixture(Strict):
    """Instructions, and prompts of the task as a share of all examples."""

    corpus_batch: Count  # instructions a step
    in_domain_share: DomainShare
    validation_prompts: Count


class SceneRole(Strict):
    """A base model of entity tracking. `scaffold_layer`: layers before the early exit. `target_accuracy`: on
    seven boxes.
    """

    learning_rate: Rate
    scaffold_layer: Annotated[int, Field(strict=True, ge=1)]
    target_accuracy: Accuracy


class SceneTuningRole(Strict):
    """A tuned model of entity tracking; `target_accuracy` is on seven boxes."""

    corpus_steps: Count
    target_accuracy: Accuracy


class SceneLearning(Strict):
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


class SceneMixture(Mixture):
    """Arithmetic with a rehearsal on small scenes, then a mixture with scenes of full size."""

    corpus_learning_rate: Rate
    corpus_only_steps: Count
    corpus_lasso: Weight
    rehearsal_share: DomainShare
    mixture_learning_rate: Rate
    max_mixture_steps: Count
    lasso: Weight


class BeliefRole(Strict):
    """A base model of theory of mind; without `consolidation_steps` there is no second phase, and halfway
    through it the learning rate begins to fall.
    """

    learning_rate: Rate
    log_lasso: Flag
    consolidation_steps: CountOrZero
    consolidation_learning_rate: Rate


class StoryLearning(Strict):
    """Theory of mind from scratch; `learned_accuracy` is that of the worst cell."""

    base_templates: TemplateShares
    stories_per_step: Count
    lasso: Weight
    consolidation_lasso: Weight
    learned_accuracy: Accuracy
    constant_steps: Count  # before the learning rate falls as 1 / step
    min_steps: CountOrZero  # before the first look
    max_steps: Count
    validation_prompts: Count

    @model_validator(mode="after")
    def _fits(self) -> StoryLearning:
        _check_steps("max_steps", self.min_steps, self.max_steps)
        return self


class StoryMixture(Mixture):
    """Instructions and stories in one mixture."""

    tuning_templates: TemplateShares
    corpus_only_steps: Count
    response_weight: Weight  # of the instructions' loss
    constant_steps: Count  # before the learning rate falls as 1 / step
    min_steps: CountOrZero  # before the first look

    @model_validator(mode="after")
    def _fits(self) -> StoryMixture:
        a_story = TheoryOfMind.prompts_a_group
        if in_domain_prompts(self.corpus_batch, self.in_domain_share) < a_story:
            raise ValueError(
                f"`corpus_batch` = {self.corpus_batch} and `in_domain_share` = {self.in_domain_share} leave "
                f"no room for one story of {a_story} prompts: raise one of them"
            )
        return self


class BeliefTuningRole(Marked):
    """A tuned model of theory of mind; `target_accuracy` is that of the worst cell."""

    lasso: Weight
    max_steps: Count


class BeliefTuning(RecipeSettings[StoryMixture, BeliefTuningRole]):
    """Tuned models of theory of mind."""

    @model_validator(mode="after")
    def _steps_fit(self) -> BeliefTuning:
        for role in MINI_SIZES:
            _check_steps(f"{role}.max_steps", self.common.min_steps, self.of(role).max_steps)
        return self


class PromptLearning(Strict):
    """Prompts of the task until the target accuracy is reached."""

    prompts_per_step: Count
    lasso: Weight
    max_steps: Count
    validation_prompts: Count


class PromptMixture(Mixture):
    """Instructions and prompts in one mixture."""

    corpus_only_steps: Count
    lasso: Weight
    max_steps: Count


class EntityPretraining(RecipeSettings[SceneLearning, SceneRole]):
    """Base models of entity tracking."""

    pruned: PrunedStudents

    @model_validator(mode="after")
    def _scaffolds_fit(self) -> EntityPretraining:
        for role, size in MINI_SIZES.items():
            if self.of(role).scaffold_layer >= size.n_layers:
                raise ValueError(
                    f"`{role}.scaffold_layer` must be below {size.n_layers}, the number of its layers"
                )
        return self


class BeliefPretraining(RecipeSettings[StoryLearning, BeliefRole]):
    """Base models of theory of mind."""

    pruned: PrunedStudents


class PromptPretraining(RecipeSettings[PromptLearning, Marked]):
    """Base models of a task without a recipe of its own."""

    pruned: PrunedStudents


Pretrainings = EntityPretraining | BeliefPretraining | PromptPretraining
EntityTuning = RecipeSettings[SceneMixture, SceneTuningRole]
PromptTuning = RecipeSettings[PromptMixture, Marked]


def in_domain_prompts(n_instructions: int, share: float) -> float:
    """Prompts beside so many instructions: a share p of all means p / (1 - p) for every instruction."""
    return n_instructions * share / (1 - share)


def _check_steps(name: str, first: int, limit: int) -> None:
    """ValueError if a stop rule would look for the first time after the last step."""
    if first > limit:
        raise ValueError(
            f"`{name}` = {limit} ends before `min_steps` = {first}: raise one or lower the other"
        )
