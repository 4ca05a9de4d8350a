"""Pipeline `distillation`: one namespace for each student and arm, `small.circuit_ce_align_cka` and so on."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.grid import STUDENTS, TEACHER
from circuit_distillation.pipelines.distillation.nodes import (
    cache_corpus_teacher,
    cache_teacher,
    predict,
    train_corpus_student,
    train_student,
)
from circuit_distillation.pipelines.distillation.tracking import track_baseline, track_student


def create_pipeline() -> Pipeline:
    """Teacher signals once, then every arm of both students; predictions and MLflow run of every model."""
    nodes = _teacher_nodes()
    for role, arm in grid.cells():
        nodes += [_train_node(role, arm), *_measure_nodes(role, arm, f"{role}.{arm}.student")]
    for role, kind in grid.references():
        nodes += _measure_nodes(role, kind, f"{kind}.{role}")
    return Pipeline(nodes, tags="distillation")


def _teacher_nodes() -> list[Node]:
    teacher, parameters = f"tuned.{TEACHER}", "params:distillation"
    inputs = [teacher, "examples.train", parameters, "params:training_seed"]
    nodes = [Node(cache_teacher, inputs, "teacher_signals.task", name="cache_teacher")]
    if any(arm in grid.CORPUS_ARMS for arm in grid.arms()):
        inputs = [teacher, "corpus.train", parameters, "params:seed", "params:training_seed"]
        name = "cache_corpus_teacher"
        nodes.append(Node(cache_corpus_teacher, inputs, "teacher_signals.tuning", name=name))
    return nodes


def _train_node(role: str, arm: str) -> Node:
    on_corpus = arm in grid.CORPUS_ARMS
    signals, prompts = ("tuning", "corpus") if on_corpus else ("task", "train")
    inputs = {
        "base": f"base.{role}",
        "mapping": f"{role}.mapping",
        "signals": f"teacher_signals.{signals}",
        prompts: "corpus.train" if on_corpus else "examples.train",
        "validation": "examples.validation",
        "unfinished": f"{role}.{arm}.unfinished",
        "parameters": "params:distillation",
        "arm": f"params:arms.{arm}",
        "family": "params:family.name",
        **{name: f"params:{name}" for name in ("task", "seed", "training_seed", "chosen")},
    }
    return Node(
        train_corpus_student if on_corpus else train_student,
        inputs,
        [f"{role}.{arm}.student", f"{role}.{arm}.history"],
        name="train_student",
        namespace=f"{role}.{arm}",
        tags=[role, arm],
    )


def _measure_nodes(role: str, arm: str, model: str) -> list[Node]:
    """Test predictions and the MLflow run. A student's circuit is H_s, the large model's its own.

    The teacher tuned on its corpus alone is measured on the circuit of the base it was tuned from.
    """
    cell = f"{role}.{arm}"
    kind = arm if (role, arm) in grid.searched() else "base"
    heads = f"{role}.mapping" if role in STUDENTS else f"{role}.{kind}.circuit"
    tracked = [f"params:family.roles.{role}", f"params:arms.{arm}", f"{cell}.predictions", "parameters"]
    trained = (role, arm) in grid.cells()
    # Reference models are measured after the mapping, which their discovery precedes: a namespace of its own.
    namespace, suffix = (cell, "") if trained else (f"{role}.references", f"_{arm}")
    return [
        Node(
            predict,
            [model, heads, "examples.test", "examples.means", "params:evaluation", "params:seed"],
            f"{cell}.predictions",
            name=f"predict{suffix}",
            namespace=namespace,
            tags=[role, arm],
        ),
        Node(
            track_student if trained else track_baseline,
            [*tracked, f"{cell}.history"] if trained else tracked,
            f"{cell}.tracked",
            name=f"track{suffix}",
            namespace=namespace,
            tags=[role, arm],
        ),
    ]
