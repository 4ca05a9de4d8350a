"""Pipeline `compare`."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation.pipelines.compare.nodes import compare_experiments


def create_pipeline() -> Pipeline:
    """`kedro run --pipelines compare --params experiments=paper+lambda05`: no model is needed."""
    node = Node(
        compare_experiments,
        ["study.predictions", "params:experiments"],
        "comparison",
        name="compare_experiments",
    )
    return Pipeline([node], tags="compare")
