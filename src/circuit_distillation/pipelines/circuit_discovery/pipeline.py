"""Pipeline `circuit_discovery`."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.grid import TEACHER
from circuit_distillation.pipelines.circuit_discovery.nodes import (
    discover_circuit,
    evaluate_circuit,
    measure_ablation,
    measure_stability,
    profile_attention,
)


def create_pipeline() -> Pipeline:
    """Circuits of all base and tuned models; ablation effects and attention profiles of the base students and
    the tuned teacher."""
    nodes = [node for role, kind in grid.searched() for node in _circuit_nodes(role, kind)]
    mapped = [*((role, "base") for role in grid.students()), (TEACHER, "tuned")]
    nodes += [make(role, kind) for role, kind in mapped for make in (_effects_node, _profiles_node)]
    return Pipeline(nodes, tags="circuit_discovery")


def _circuit_nodes(role: str, kind: str) -> list[Node]:
    cell = f"{role}.{kind}"
    return [
        Node(
            discover_circuit,
            [f"{kind}.{role}", "examples.discovery", "examples.discovery_corrupt", "examples.means"]
            + [f"{cell}.unfinished_search", "params:circuit_discovery", "params:task"]
            + [f"params:family.roles.{role}", f"params:names.{kind}"],
            [f"{cell}.head_scores", f"{cell}.circuit", f"{cell}.prompt_scores"],
            name="discover_circuit",
            namespace=cell,
        ),
        Node(
            measure_stability,
            [f"{cell}.prompt_scores", f"{cell}.circuit", "params:seed"],
            [f"{cell}.stability", f"{cell}.overlap"],
            name="measure_stability",
            namespace=cell,
        ),
        Node(
            evaluate_circuit,
            [f"{kind}.{role}", f"{cell}.circuit", "examples.test", "examples.means"]
            + ["params:evaluation.n_random_circuits", "params:seed"],
            f"{cell}.circuit_predictions",
            name="evaluate_circuit",
            namespace=cell,
        ),
    ]


def _effects_node(role: str, kind: str) -> Node:
    cell = f"{role}.{kind}"
    return Node(
        measure_ablation,
        [f"{kind}.{role}", "examples.mapping", "examples.means", "params:circuit_discovery.processes"]
        + [f"params:family.roles.{role}", f"params:names.{kind}"],
        [f"{cell}.ablation_effects", f"{cell}.head_features"],
        name="measure_ablation",
        namespace=cell,
    )


def _profiles_node(role: str, kind: str) -> Node:
    cell = f"{role}.{kind}"
    return Node(
        profile_attention,
        [f"{kind}.{role}", "examples.mapping"],
        f"{cell}.attention_profiles",
        name="profile_attention",
        namespace=cell,
    )
