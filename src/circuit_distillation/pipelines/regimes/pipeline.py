"""Pipelines `regimes` (one family and draw), `regime_search` (one family) and `regime_tables` (over all)."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.grid import TEACHER
from circuit_distillation.pipelines.distillation.pipeline import PAIRS, acting_nodes
from circuit_distillation.pipelines.regimes.nodes import choose_settings, run_size, search_size, summarise
from circuit_distillation.study.names import REGIMES, SEARCHED


def create_runs(upstream: Pipeline) -> Pipeline:
    """Every size for every student, and of `upstream`, the family, what they need."""
    nodes = acting_nodes()
    for role in grid.students():
        for size in REGIMES:
            inputs = _stored(role, size) | {
                "test": "examples.test",
                "family": "params:family.name",
                "training_seed": "params:training_seed",
            }
            made = [f"{role}.{size}.regime", f"{role}.{size}.regime_training"]
            nodes.append(Node(run_size, inputs, made, name="run_size", namespace=f"regimes.{role}.{size}"))
    runs = Pipeline(nodes, tags="regimes")
    scores = [f"{role}.rule_scores" for role in grid.students()]
    return (upstream + runs).to_outputs(*runs.all_outputs(), *scores)


def create_search(upstream: Pipeline) -> Pipeline:
    """The trials of every size whose settings are searched."""
    role = grid.students()[0]  # what the search chooses with the smallest student holds for all
    nodes = [
        Node(
            search_size,
            _stored(role, size),
            f"{role}.{size}.regime_trials",
            name="search_size",
            namespace=f"regime_search.{role}.{size}",
        )
        for size in SEARCHED
    ]
    trials = {size: f"{role}.{size}.regime_trials" for size in SEARCHED}
    nodes += [node for node in acting_nodes() if f"{role}.acting_effects" in node.outputs]
    search = Pipeline([*nodes, Node(choose_settings, trials, "regime_trials", name="choose_settings")])
    return (upstream + search).to_outputs("regime_trials")


def _stored(role: str, size: str) -> dict[str, str]:
    return {
        "role": f"params:family.roles.{role}.name",
        "size": f"params:names.{size}",
        "regimes": "params:regimes",
        "distillation": "params:distillation",
        "options": "params:data_generation.task_options",
        "student": f"base.{role}",
        "teacher": f"tuned.{TEACHER}",
        "train": "examples.train",
        "validation": "examples.validation",
        "heads": f"{role}.heads",
        "acting": f"{role}.acting_effects",
        **{kind: f"{role}.{dataset}" for kind, dataset in PAIRS.items()},
        **{name: f"params:{name}" for name in ("task", "seed")},
    }


def create_tables() -> Pipeline:
    """The claims and tables over all stored runs."""
    made = [
        f"regimes.{name}" for name in ("accuracies", "claims", "recall", "document", "corners", "corners_svg")
    ]
    inputs = {"stored": "regimes.outcomes", "scores": "regimes.rule_scores"}
    inputs |= {"regimes": "params:regimes", "experiment": "params:experiment"}
    return Pipeline([Node(summarise, inputs, made, name="summarise_regimes")])
