"""The functions of the library for researchers in one module, without Kedro.

`model` is any supported `transformers` causal LM, heads are (layer, head), positions are ints (negative ones
count from the end) or [example] tensors.
"""

from circuit_distillation.circuits.ablation_attribution import attribute_ablations
from circuit_distillation.circuits.attribution import attribute_heads
from circuit_distillation.circuits.evaluation import circuit_predictions
from circuit_distillation.circuits.mean_ablation import HeadEffects, head_effects, head_means
from circuit_distillation.circuits.path_patching import score_heads
from circuit_distillation.circuits.rankings import cpr_cmd, rank_correlation, top_overlap
from circuit_distillation.mapping.impact import student_impact, teacher_impact
from circuit_distillation.mapping.match import match_heads
from circuit_distillation.models.architecture import Architecture, architecture
from circuit_distillation.reporting.heat_map import heat_map
from circuit_distillation.similarity.cka import hsic, linear_cka
from circuit_distillation.statistics.mcnemar import mcnemar_test
from circuit_distillation.tasks import get_task
from circuit_distillation.training.head_slices import HeadSlices

__all__ = [
    "Architecture",
    "HeadEffects",
    "HeadSlices",
    "architecture",
    "attribute_ablations",
    "attribute_heads",
    "circuit_predictions",
    "cpr_cmd",
    "get_task",
    "head_effects",
    "head_means",
    "heat_map",
    "hsic",
    "linear_cka",
    "match_heads",
    "mcnemar_test",
    "rank_correlation",
    "score_heads",
    "student_impact",
    "teacher_impact",
    "top_overlap",
]
