"""The optimiser's settings of one run, from the parameters."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from circuit_distillation.parameters import Distillation

if TYPE_CHECKING:
    from circuit_distillation.training.distillation_settings import DistillationSettings


def distillation_settings(
    parameters: Distillation, chosen: dict[str, Any], seed: int
) -> DistillationSettings:
    """The shared settings, with what the search chose for the arm; `seed` is that of the data's order."""
    from circuit_distillation.training.distillation_settings import DistillationSettings

    names = {item.name for item in fields(DistillationSettings)}
    settings = parameters.model_dump() | chosen
    return DistillationSettings(
        **{name: value for name, value in settings.items() if name in names}, seed=seed
    )
