"""Pipeline `held_out`."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.pipelines.held_out.nodes import score_held_out, tabulate_held_out


def create_pipeline() -> Pipeline:
    """Every model of the tables on questions of other forms; not part of the default run."""
    models = {(role, kind): f"{kind}.{role}" for role, kind in grid.references()}
    models |= {(role, arm): f"{role}.{arm}.student" for role, arm in grid.cells()}
    nodes = [
        Node(
            score_held_out,
            [model, "params:held_out", "params:seed"],
            f"{role}.{arm}.held_out",
            name=f"score_{role}_{arm}",
        )
        for (role, arm), model in models.items()
    ]
    frames = {f"held_out__{role}__{arm}": f"{role}.{arm}.held_out" for role, arm in models}
    table = Node(tabulate_held_out, {"parameters": "parameters", **frames}, "held_out_table", name="tabulate")
    return Pipeline([*nodes, table], tags="held_out")
