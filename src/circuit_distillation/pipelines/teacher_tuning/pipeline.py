"""Pipeline `teacher_tuning`."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.grid import TEACHER
from circuit_distillation.pipelines.teacher_tuning.nodes import join_records, tune_loaded_model, tune_models


def create_pipeline() -> Pipeline:
    """All roles on the mixture, the teacher also on its corpus alone; loaded models on the corpus alone."""
    nodes = _loaded_nodes() if grid.loaded() else [_mini_node()]
    return Pipeline(nodes, tags="teacher_tuning")


def _mini_node() -> Node:
    return Node(
        tune_models,
        {role: f"base.{role}" for role in grid.roles()}
        | {"corpus_train": "corpus.train", "corpus_heldout": "corpus.heldout"}
        | {"parameters": "params:teacher_tuning", "task": "params:task", "seed": "params:seed"},
        [*(f"tuned.{role}" for role in grid.roles()), f"tuned_corpus.{TEACHER}", "tuning_record"],
        name="tune_models",
    )


def _loaded_nodes() -> list[Node]:
    """A node a role, so that one model at a time is in memory, and their records joined."""
    nodes = [
        Node(
            tune_loaded_model,
            [f"base.{role}", "corpus.train", "corpus.heldout", "params:finetuning", "params:task"]
            + [f"params:family.roles.{role}", "params:seed", f"{role}.tuned.tuning_unfinished"],
            [f"tuned.{role}", f"{role}.tuned.tuning"],
            name=f"tune_{role}",
        )
        for role in grid.roles()
    ]
    records = {role: f"{role}.tuned.tuning" for role in grid.roles()}
    nodes.append(
        Node(
            join_records,
            {"task": "params:task", "seed": "params:seed"} | records,
            "tuning_record",
            name="join_tuning_records",
        )
    )
    return nodes
