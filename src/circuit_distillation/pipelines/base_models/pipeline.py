"""Pipeline `base_models`: takes the place of `pretraining` for families whose models are loaded."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.grid import INSTRUCT
from circuit_distillation.pipelines.base_models.nodes import load_base_models, load_instruct_models


def create_pipeline() -> Pipeline:
    """Where the models of all roles are, checked; instruction-tuned ones where they are measured."""
    nodes = [
        Node(
            load_base_models,
            ["params:family.models", "params:family.loading"]
            + ["params:data_generation.task_options", "params:task", "params:seed"],
            [*(f"base.{role}" for role in grid.roles()), "pretraining_record", "base.ancestry"],
            name="load_base_models",
        )
    ]
    if grid.instruct():
        outputs = [f"{INSTRUCT}.{role}" for role in grid.roles()]
        inputs = ["params:family.instruct", "params:family.loading"]
        nodes.append(Node(load_instruct_models, inputs, outputs, name="load_instruct_models"))
    return Pipeline(nodes, tags="base_models")
