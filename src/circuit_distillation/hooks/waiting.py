"""Which nodes of a pipeline a run will execute."""

from __future__ import annotations

from kedro.pipeline.node import Node


def waiting_nodes(run_params, pipeline, catalog) -> list[Node]:
    """All nodes, or under `--only-missing-outputs` those that lack an output, as the runner chooses them."""
    if not run_params.get("only_missing_outputs"):
        return pipeline.nodes
    return [node for node in pipeline.nodes if not all(catalog.exists(name) for name in node.outputs)]
