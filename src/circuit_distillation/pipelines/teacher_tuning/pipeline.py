"""Pipeline `teacher_tuning`."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation.grid import ROLES, TEACHER
from circuit_distillation.pipelines.teacher_tuning.nodes import tune_models


def create_pipeline() -> Pipeline:
    """All roles on the mixture, and the teacher on its corpus alone."""
    return Pipeline(
        [
            Node(
                tune_models,
                [*(f"base.{role}" for role in ROLES), "corpus.train", "corpus.heldout"]
                + ["params:teacher_tuning", "params:task", "params:seed"],
                [*(f"tuned.{role}" for role in ROLES), f"tuned_corpus.{TEACHER}", "tuning_record"],
                name="tune_models",
            )
        ],
        tags="teacher_tuning",
    )
