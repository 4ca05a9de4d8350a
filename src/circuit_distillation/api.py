"""The functions of the library for researchers in one module, without Kedro.

`model` is any supported `transformers` causal LM, heads are (layer, head), positions are ints (negative ones
count from the end) or [example] tensors. Each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

MODULES = {
    "circuits.ablation_attribution": ("attribute_ablations",),
    "circuits.attribution": ("attribute_heads",),
    "circuits.evaluation": ("circuit_predictions",),
    "circuits.mean_ablation": ("HeadEffects", "head_effects", "head_means"),
    "circuits.path_patching": ("score_heads",),
    "circuits.rankings": ("cpr_cmd", "rank_correlation", "top_overlap"),
    "mapping.impact": ("student_impact", "teacher_impact"),
    "mapping.match": ("match_heads",),
    "models.architecture": ("Architecture", "architecture"),
    "reporting.heat_map": ("heat_map",),
    "similarity.cka": ("hsic", "linear_cka"),
    "statistics.mcnemar": ("mcnemar_test",),
    "tasks.task": ("get_task",),
    "training.head_slices": ("HeadSlices",),
}
_HOMES = {name: f"circuit_distillation.{module}" for module, names in MODULES.items() for name in names}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"circuit_distillation.api has no {name!r}: there is {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
