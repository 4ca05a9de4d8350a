"""Pipeline `pretraining`."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.pipelines.pretraining.nodes import pretrain_bases


def create_pipeline() -> Pipeline:
    """All roles in one node: the students may come from the large one."""
    return Pipeline(
        [
            Node(
                pretrain_bases,
                ["params:pretraining", "params:task", "params:seed"],
                [*(f"base.{role}" for role in grid.roles()), "pretraining_record", "base.ancestry"],
                name="pretrain_bases",
            )
        ],
        tags="pretraining",
    )
