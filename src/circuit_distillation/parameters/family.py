"""The family of models, and how the mini family is trained; fields as in the recipes under `training/`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from circuit_distillation.parameters.fields import (
    Accuracy,
    Count,
    CountOrZero,
    DomainShare,
    Flag,
    Label,
    Name,
    Rate,
    Strict,
    Weight,
)
from circuit_distillation.parameters.loaded import Loading, Models
from circuit_distillation.parameters.prompts import PromptPretraining, PromptTuning
from circuit_distillation.parameters.tasks import by_task
from circuit_distillation.tasks.visibility import TEMPLATES
from circuit_distillation.training.student_settings import PrunedStudents

Template = Literal[tuple(TEMPLATES)]
DEPTHS = {"small": 4, "medium": 6, "large": 8}  # layers of the mini family
STORY_PROMPTS = 4


class Role(Strict):
    """A model of the family: its role and its name in tables."""

    name: Literal["small", "medium", "large"]
    label: Label


class Roles(Strict):
    """The three models of a family; `large` is the teacher."""

    small: Role
    medium: Role
    large: Role

    @model_validator(mode="after")
    def _named_as_their_keys(self) -> Roles:
        for key in DEPTHS:
            if getattr(self, key).name != key:
                raise ValueError(f"`{key}.name` must be `{key}`, the name of its role")
        labels = [getattr(self, key).label for key in DEPTHS]
        if len(set(labels)) < len(labels):
            raise ValueError(f"the labels {', '.join(labels)} must differ, to tell the roles apart")
        return self


class Family(Strict):
    """Which models play the roles, and their names in tables. Without `models` they are trained here."""

    name: Name
    roles: Roles
    scaffolded: Flag
    models: Models | None = None
    instruct: Models | None = None
    loading: Loading | None = None

    @model_validator(mode="after")
    def _loading_with_models(self) -> Family:
        if (self.models is None) != (self.loading is None):
            raise ValueError("a loaded family has both `models` and `loading`, the mini family neither")
        if self.models is None and self.instruct is not None:
            raise ValueError("`instruct` names models to load: only a loaded family has them")
        return self


class ScaffoldedRole(Strict):
    """What differs between the roles of a scaffolded recipe."""

    scaffold_layer: Annotated[int, Field(strict=True, ge=1)]
    target_accuracy: Accuracy


def check_scaffolds(block: Strict) -> None:
    """ValueError if an early exit lies behind the last layer of its model."""
    for role, depth in DEPTHS.items():
        if getattr(block, role).scaffold_layer >= depth:
            raise ValueError(f"`{role}.scaffold_layer` must be below {depth}, the number of its layers")


class EntityPretrainingCommon(Strict):
    """Entity tracking from scratch: learn, consolidate, calibrate."""

    learned_accuracy: Accuracy
    max_learning_steps: Count
    learning_lasso: Weight
    consolidation_steps: Count
    consolidation_boxes: Annotated[int, Field(strict=True, ge=2, le=7)]
    lasso: Weight
    calibration_learning_rate: Rate
    max_calibration_steps: Count
    tokens_per_step: Count
    validation_prompts: Count


class EntityPretrainingRole(ScaffoldedRole):
    """A base model of entity tracking."""

    learning_rate: Rate


class EntityPretraining(Strict):
    """Base models of entity tracking."""

    common: EntityPretrainingCommon
    small: EntityPretrainingRole
    medium: EntityPretrainingRole
    large: EntityPretrainingRole
    pruned: PrunedStudents

    @model_validator(mode="after")
    def _scaffolds_fit(self) -> EntityPretraining:
        check_scaffolds(self)
        return self


class BeliefPretrainingRole(Strict):
    """A base model of theory of mind."""

    learning_rate: Rate
    log_lasso: Flag
    consolidation_steps: CountOrZero


class BeliefPretrainingCommon(Strict):
    """Theory of mind from scratch."""

    base_templates: dict[Template, Weight]
    stories_per_step: Count
    lasso: Weight
    consolidation_lasso: Weight
    learned_accuracy: Accuracy
    min_steps: CountOrZero
    max_steps: Count
    validation_prompts: Count

    @model_validator(mode="after")
    def _fits(self) -> BeliefPretrainingCommon:
        check_shares("base_templates", self.base_templates)
        check_steps(self.min_steps, self.max_steps)
        return self


class BeliefPretraining(Strict):
    """Base models of theory of mind."""

    common: BeliefPretrainingCommon
    small: BeliefPretrainingRole
    medium: BeliefPretrainingRole
    large: BeliefPretrainingRole
    pruned: PrunedStudents


_Pretrainings = by_task(
    "_Pretrainings", "", entity=EntityPretraining, tom=BeliefPretraining, others=PromptPretraining
)


class Pretraining(_Pretrainings):
    """The bases of the mini family: students `pruned` from the large one, or all three trained apart from
    scratch, `independent`, side by side in `max_workers` processes.
    """

    students: Literal["pruned", "independent"]
    max_workers: Count


class EntityTuningCommon(Strict):
    """Arithmetic, then a mixture with scenes."""

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


class EntityTuning(Strict):
    """Tuned models of entity tracking."""

    common: EntityTuningCommon
    small: ScaffoldedRole
    medium: ScaffoldedRole
    large: ScaffoldedRole

    @model_validator(mode="after")
    def _scaffolds_fit(self) -> EntityTuning:
        check_scaffolds(self)
        return self


class BeliefTuningCommon(Strict):
    """Instructions and stories in one mixture."""

    tuning_templates: dict[Template, Weight]
    corpus_batch: Count
    corpus_only_steps: Count
    response_weight: Weight
    in_domain_share: DomainShare
    constant_steps: Count
    min_steps: CountOrZero
    validation_prompts: Count

    @model_validator(mode="after")
    def _fits(self) -> BeliefTuningCommon:
        check_shares("tuning_templates", self.tuning_templates)
        if self.corpus_batch * self.in_domain_share / (1 - self.in_domain_share) < STORY_PROMPTS:
            raise ValueError(
                f"`corpus_batch` = {self.corpus_batch} and `in_domain_share` = {self.in_domain_share} leave "
                f"no room for one story of {STORY_PROMPTS} prompts: raise one of them"
            )
        return self


class BeliefTuningRole(Strict):
    """A tuned model of theory of mind."""

    learning_rate: Rate
    lasso: Weight
    target_accuracy: Accuracy
    must_reach_target: Flag
    max_steps: Count


class BeliefTuning(Strict):
    """Tuned models of theory of mind."""

    common: BeliefTuningCommon
    small: BeliefTuningRole
    medium: BeliefTuningRole
    large: BeliefTuningRole

    @model_validator(mode="after")
    def _steps_fit(self) -> BeliefTuning:
        for role in DEPTHS:
            check_steps(self.common.min_steps, getattr(self, role).max_steps, role)
        return self


_Tunings = by_task("_Tunings", "", entity=EntityTuning, tom=BeliefTuning, others=PromptTuning)


class TeacherTuning(_Tunings):
    """The tuned models of the mini family, side by side in `max_workers` processes."""

    max_workers: Count


def check_shares(name: str, shares: dict[str, float]) -> None:
    """ValueError unless some template is drawn."""
    if not sum(shares.values()) > 0:
        raise ValueError(f"`{name}` must give at least one template a share above 0")


def check_steps(first: int, limit: int, role: str = "") -> None:
    """ValueError if a stop rule would look for the first time after the last step."""
    if first > limit:
        where = f"`{role}.max_steps`" if role else "`max_steps`"
        raise ValueError(f"{where} = {limit} ends before `min_steps` = {first}: raise one or lower the other")
