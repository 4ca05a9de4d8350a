"""Build the settings of one arm from flat settings, as parameters and trials name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from circuit_distillation.arms import Arm
from circuit_distillation.training.distillation_settings import (
    Alignment,
    AlignmentSettings,
    DistillationSettings,
    TrainingSettings,
)

RATES = {"all": "learning_rate_full", "heads": "learning_rate_heads", "random_heads": "learning_rate_heads"}
# Names that a trial may change in the training of an arm.
KEYS = tuple(
    dict.fromkeys([*TrainingSettings.model_fields, *AlignmentSettings.model_fields, *RATES.values()])
)


def arm_settings(arm: Arm, values: Mapping[str, Any], seed: int) -> DistillationSettings:
    """The settings of an arm, which takes of `values` what it uses; what is its own must be in them."""
    start = DistillationSettings(
        trained=arm.trained,
        loss=arm.loss,
        alignment=None
        if arm.pairs == "none"
        else Alignment(sites=arm.sites, teacher_prompts=arm.teacher_prompts),
        seed=seed,
    )
    return changed(start, values)


def changed(settings: DistillationSettings, values: Mapping[str, Any]) -> DistillationSettings:
    """The same with other values, of which those that the arm does not use are left out."""
    whole = settings.model_dump()
    whole |= {name: values[name] for name in TrainingSettings.model_fields if name in values}
    whole["learning_rate"] = values.get(RATES[settings.trained], settings.learning_rate)
    if whole["alignment"] is not None:
        own = {name: values[name] for name in AlignmentSettings.model_fields if name in values}
        whole["alignment"] = whole["alignment"] | own
    if settings.loss == "kl":
        whole["labels"] = "soft"
    return DistillationSettings(**whole)
