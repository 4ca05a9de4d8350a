"""Pipeline `plan`."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation.pipelines.plan.nodes import make_plan


def create_pipeline() -> Pipeline:
    """The needs of every stage of a run with loaded models, before anything is loaded."""
    return Pipeline([Node(make_plan, "parameters", "plan", name="make_plan")], tags="plan")
