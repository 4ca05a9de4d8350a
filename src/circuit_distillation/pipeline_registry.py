"""All pipelines by name; the default one is the whole paper for one task."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from circuit_distillation.pipelines.circuit_discovery.pipeline import create_pipeline as circuit_discovery
from circuit_distillation.pipelines.data_generation.pipeline import create_pipeline as data_generation
from circuit_distillation.pipelines.distillation.pipeline import create_pipeline as distillation
from circuit_distillation.pipelines.head_mapping.pipeline import create_pipeline as head_mapping
from circuit_distillation.pipelines.pretraining.pipeline import create_pipeline as pretraining
from circuit_distillation.pipelines.reporting.pipeline import create_pipeline as reporting
from circuit_distillation.pipelines.teacher_tuning.pipeline import create_pipeline as teacher_tuning


def register_pipelines() -> dict[str, Pipeline]:
    """Pipelines in running order. Listed by hand: Kedro's discovery would import only the one that is asked for."""
    pipelines = {
        "data_generation": data_generation(),
        "pretraining": pretraining(),
        "teacher_tuning": teacher_tuning(),
        "circuit_discovery": circuit_discovery(),
        "head_mapping": head_mapping(),
        "distillation": distillation(),
        "reporting": reporting(),
    }
    return {**pipelines, "__default__": sum(pipelines.values(), Pipeline([]))}
