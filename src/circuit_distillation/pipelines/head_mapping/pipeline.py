"""Pipeline `head_mapping`."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation.grid import STUDENTS, TEACHER
from circuit_distillation.pipelines.head_mapping.nodes import map_heads


def create_pipeline() -> Pipeline:
    """One mapping for each student, from its base model onto the tuned teacher."""
    return Pipeline([_cell(role) for role in STUDENTS], tags="head_mapping")


def _cell(role: str) -> Node:
    artifacts = ("ablation_effects", "head_features", "circuit")
    return Node(
        map_heads,
        [f"{role}.base.{name}" for name in artifacts]
        + [f"{TEACHER}.tuned.{name}" for name in artifacts]
        + ["params:head_mapping", "params:task", "params:seed", "params:chosen", "params:family.name"],
        f"{role}.mapping",
        name="map_heads",
        namespace=f"{role}.map",
    )
