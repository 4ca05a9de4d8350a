"""Pipeline `distillation`: one namespace for each student and arm, `small.circuit_ce_align_cka` and so on."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.grid import STUDENTS, TEACHER
from circuit_distillation.pipelines.distillation.nodes import (
    cache_corpus_teacher,
    cache_teacher,
    cache_teacher_with_logits,
    predict,
    train_corpus_student,
    train_student,
)
from circuit_distillation.pipelines.distillation.tracking import track_baseline, track_student

LOGIT_ARMS = ("full_kl",)  # learn from the teacher's distribution, whatever labels the others have


def create_pipeline() -> Pipeline:
    """Teacher signals once, then every arm of both students; predictions and MLflow run of every model."""
    nodes = _teacher_nodes()
    for role, arm in grid.cells():
        nodes += [_train_node(role, arm), *_measure_nodes(role, arm, f"{role}.{arm}.student")]
    for role, kind in grid.references():
        nodes += _measure_nodes(role, kind, f"{kind}.{role}")
    return Pipeline(nodes, tags="distillation")


def _teacher_nodes() -> list[Node]:
    """Caches that students share; they are told no more than what they hold depends on."""
    sets, labels = ["params:distillation.n_train", "params:distillation.rows"], "params:distillation.labels"
    on_prompts = [f"tuned.{TEACHER}", "examples.train", *sets]
    on_corpus = [f"tuned.{TEACHER}", "corpus.train", *sets, labels, "params:seed"]
    caches = {"task": (cache_teacher, [*on_prompts, labels])}
    if any(arm in grid.CORPUS_ARMS for arm in grid.arms()):
        caches["tuning"] = (cache_corpus_teacher, on_corpus)  # type: ignore[assignment]
    if any(arm in LOGIT_ARMS for arm in grid.arms()):
        caches["task_with_logits"] = (cache_teacher_with_logits, on_prompts)  # type: ignore[assignment]
    return [
        Node(function, [*inputs, "params:training_seed"], f"teacher_signals.{name}", name=function.__name__)
        for name, (function, inputs) in caches.items()
    ]


def _train_node(role: str, arm: str) -> Node:
    on_corpus = arm in grid.CORPUS_ARMS
    signals, prompts = ("tuning", "corpus") if on_corpus else ("task", "train")
    signals = "task_with_logits" if arm in LOGIT_ARMS else signals
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
    run = ("task", "seed", "training_seed", "experiment")
    tracked = {"role": f"params:family.roles.{role}.name", "arm": f"params:arms.{arm}"}
    tracked |= {"predictions": f"{cell}.predictions"} | {name: f"params:{name}" for name in run}
    trained = (role, arm) in grid.cells()
    if trained:
        tracked |= {name: f"params:{name}" for name in ("distillation", "chosen")}
        tracked |= {"history": f"{cell}.history", "family": "params:family.name"}
    # Reference models are measured after the mapping, which their discovery precedes: a namespace of its own.
    namespace, suffix = (cell, "") if trained else (f"{role}.references", f"_{arm}")
    return [
        Node(
            predict,
            [model, heads, "examples.test", "examples.means"]
            + ["params:evaluation.n_random_circuits_row", "params:seed"],
            f"{cell}.predictions",
            name=f"predict{suffix}",
            namespace=namespace,
            tags=[role, arm],
        ),
        Node(
            track_student if trained else track_baseline,
            tracked,
            f"{cell}.tracked",
            name=f"track{suffix}",
            namespace=namespace,
            tags=[role, arm],
        ),
    ]
