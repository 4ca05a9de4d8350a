"""How the mini family learns a task without a recipe of its own; fields as in `training.prompt_recipe`."""

from __future__ import annotations

from circuit_distillation.parameters.fields import Accuracy, Count, DomainShare, Flag, Rate, Strict, Weight
from circuit_distillation.training.student_settings import PrunedStudents


class PromptPretrainingCommon(Strict):
    """Base models: prompts of the task until a mark is reached."""

    prompts_per_step: Count
    lasso: Weight
    max_steps: Count
    validation_prompts: Count


class PromptTuningCommon(Strict):
    """Tuned models: instructions and prompts in one mixture."""

    corpus_batch: Count
    corpus_only_steps: Count
    in_domain_share: DomainShare
    lasso: Weight
    max_steps: Count
    validation_prompts: Count


class PromptRole(Strict):
    """What differs between the roles."""

    learning_rate: Rate
    target_accuracy: Accuracy
    must_reach_target: Flag


class PromptPretraining(Strict):
    """Base models of a task without a recipe of its own."""

    common: PromptPretrainingCommon
    small: PromptRole
    medium: PromptRole
    large: PromptRole
    pruned: PrunedStudents


class PromptTuning(Strict):
    """Tuned models of a task without a recipe of its own."""

    common: PromptTuningCommon
    small: PromptRole
    medium: PromptRole
    large: PromptRole
