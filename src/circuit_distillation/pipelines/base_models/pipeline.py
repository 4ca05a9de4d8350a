"""Pipeline `base_models`: stands where `pretraining` does, for families whose models are loaded."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation.grid import ROLES
from circuit_distillation.pipelines.base_models.nodes import load_base_models


def create_pipeline() -> Pipeline:
    """Where the models of the three roles are, checked."""
    return Pipeline(
        [
            Node(
                load_base_models,
                ["params:family", "params:data_generation", "params:task"],
                [*(f"base.{role}" for role in ROLES), "pretraining_record"],
                name="load_base_models",
            )
        ],
        tags="base_models",
    )
