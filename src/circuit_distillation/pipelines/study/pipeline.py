"""Pipelines `study_run` (one training seed of one family) and `study` (evaluates all of these runs)."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation.arms import ARMS, PAPER_ARMS
from circuit_distillation.pipelines.study.nodes import gather, judge, show_tables, summarise_runs


def create_run(upstream: Pipeline, distillation: Pipeline) -> Pipeline:
    """The family, and the paper's arms of one training seed with their predictions.

    Left out of the `distillation` pipeline: students of the tuning corpus, arms beyond the paper, MLflow.
    """
    return upstream + Pipeline([node for node in distillation.nodes if _belongs(node)])


def _belongs(node: Node) -> bool:
    arms = node.tags & set(ARMS)  # of a student, or of a cache that several read
    tracked = any(name.endswith(".tracked") for name in node.outputs)
    return not tracked and (not arms or bool(arms & set(PAPER_ARMS)))


def create_study() -> Pipeline:
    """Stored predictions, histories and circuits of every run, the claims, and the tables that show them."""
    files = ["predictions", "circuit_predictions", "histories", "circuits", "stabilities", "mappings"]
    files += ["transfers", "tests"]
    stored = {name: f"study.{name}" for name in files}
    gathered = ["study.outcomes", "study.training", "study.heads", "study.pairs"]
    gathered += ["study.transfer", "study.models"]
    return Pipeline(
        [
            Node(gather, stored | {"experiment": "params:experiment"}, gathered, name="gather"),
            Node(judge, ["study.outcomes", "study.training", "study.heads"], "study.claims", name="judge"),
            Node(summarise_runs, "study.models", "study.accuracies", name="summarise_runs"),
            Node(
                show_tables,
                {
                    "family": "params:family",
                    "claims": "study.claims",
                    "accuracies": "study.accuracies",
                    "pairs": "study.pairs",
                    "training": "study.training",
                    "transfer": "study.transfer",
                    "search": "study.search",
                    "shared": "study.search_shared",
                    "experiment": "params:experiment",
                    "sweeps": "study.sweeps",
                },
                "study.replication",
                name="show_tables",
            ),
        ],
        tags="study",
    )
