"""Pipeline `distillation`: one namespace for each student and arm, `small.circuit_ce_align_cka` and so on."""

from kedro.pipeline import Node, Pipeline

from circuit_distillation import grid
from circuit_distillation.arms import ARMS
from circuit_distillation.grid import TEACHER
from circuit_distillation.pipelines.distillation.nodes import (
    cache_corpus_teacher,
    cache_observable,
    cache_teacher,
    find_acting,
    label_corpus,
    label_prompts,
    label_prompts_with_logits,
    predict,
    train_corpus_student,
    train_student,
)
from circuit_distillation.pipelines.distillation.tracking import track_baseline, track_student

PAIRS = {
    "mapped": "mapping",
    "random": "control_pairs",
    "function": "function_mapping",
    "other_role": "other_role_pairs",
}
# Data of an arm -> its dataset, and the name of the teacher's signals on it.
DATA = {"task": "examples.train", "corpus": "corpus.train"}
SIGNALS = {"task": "task", "corpus": "tuning"}


def create_pipeline() -> Pipeline:
    """Teacher signals once, then every arm of every student; predictions and MLflow run of every model."""
    nodes = [*_teacher_nodes(), *_observable_nodes()]
    nodes += acting_nodes() if grid.acting_arms() else []
    for role, arm in grid.cells():
        nodes += [_train_node(role, arm), *_measure_nodes(role, arm, f"{role}.{arm}.student")]
    for role, kind in grid.references():
        nodes += _measure_nodes(role, kind, f"{kind}.{role}")
    return Pipeline(nodes, tags="distillation")


def _teacher_nodes() -> list[Node]:
    """Caches that students share, where an arm reads them; none has an input that it does not depend on."""
    labels, seed = "params:distillation.labels", "params:seed"
    read = ["params:distillation.rows", "params:distillation.observable"]
    caches = {
        "teacher_labels.task": (label_prompts, "task", [labels]),
        "teacher_labels.task_with_logits": (label_prompts_with_logits, "task", []),
        "teacher_labels.tuning": (label_corpus, "corpus", [labels, seed]),
        "teacher_signals.task": (cache_teacher, "task", read),
        "teacher_signals.tuning": (cache_corpus_teacher, "corpus", [*read, seed]),
    }
    readers = {name: [arm for arm in grid.arms() if name in _signals(arm).values()] for name in caches}
    return [
        Node(
            function,
            [f"tuned.{TEACHER}", DATA[data], "params:distillation.n_train", *more, "params:training_seed"],
            name,
            name=function.__name__,
            tags=readers[name],
        )
        for name, (function, data, more) in caches.items()
        if readers[name]
    ]


def _observable_nodes() -> list[Node]:
    """What arms with an observable of their own read of the teacher, at the heads of their pairs."""
    kept = [name for name in grid.arms() if ARMS[name].own]
    observables = dict.fromkeys(ARMS[name].own["observable"] for name in kept)
    return [
        _observable_node(observable, [name for name in kept if ARMS[name].own["observable"] == observable])
        for observable in observables
    ]


def _observable_node(observable: str, arms: list[str]) -> Node:
    kinds = dict.fromkeys(PAIRS[ARMS[name].pairs] for name in arms)
    records = {f"{role}_{kind}": f"{role}.{kind}" for role in grid.students() for kind in kinds}
    inputs = {"teacher": f"tuned.{TEACHER}", "train": DATA["task"], "settings": f"params:arms.{arms[0]}"}
    inputs |= {"n_train": "params:distillation.n_train", "training_seed": "params:training_seed"}
    made, name = f"teacher_signals.{observable}", f"cache_{observable}"
    return Node(cache_observable, inputs | records, made, name=name, tags=arms)


def acting_nodes() -> list[Node]:
    """Where the heads of each student act."""
    inputs = {"mapping": "examples.mapping", "means": "examples.means"}
    return [
        Node(
            find_acting,
            {"base": f"base.{role}"} | inputs,
            f"{role}.acting_effects",
            name=find_acting.__name__,
            namespace=f"{role}.acting",
            tags=grid.acting_arms(),
        )
        for role in grid.students()
    ]


def _signals(name: str) -> dict[str, str]:
    """What an arm reads of the teacher."""
    arm = ARMS[name]
    with_logits = "_with_logits" if arm.loss == "kl" else ""
    labels = {"labels": f"teacher_labels.{SIGNALS[arm.data]}{with_logits}"}
    activations = {"activations": f"teacher_signals.{arm.own.get('observable', SIGNALS[arm.data])}"}
    return labels if arm.pairs == "none" else labels | activations


def _train_node(role: str, name: str) -> Node:
    arm = ARMS[name]
    inputs = {
        "base": f"base.{role}",
        "validation": "examples.validation",
        "unfinished": f"{role}.{name}.unfinished",
        "settings": f"params:arms.{name}",
        **_signals(name),
        **{name: f"params:distillation.{name}" for name in ("n_train", "processes", "sharded")},
    }
    if arm.trained != "all":
        inputs["heads"] = f"{role}.heads"
    if arm.pairs != "none":
        inputs["pairs"] = f"{role}.{PAIRS[arm.pairs]}"
    if name in grid.acting_arms():
        inputs["acting"] = f"{role}.acting_effects"
    inputs["corpus" if arm.data == "corpus" else "train"] = DATA[arm.data]
    if arm.data == "task":
        inputs["training_seed"] = "params:training_seed"
    return Node(
        train_corpus_student if arm.data == "corpus" else train_student,
        inputs,
        [f"{role}.{name}.{made}" for made in ("student", "history", "settings")],
        name="train_student",
        namespace=f"{role}.{name}",
        tags=[role, name],
    )


def _measure_nodes(role: str, arm: str, model: str) -> list[Node]:
    """Test predictions and the MLflow run. A student's circuit is H_s, the large model's its own.

    The teacher tuned on its corpus alone is measured on the circuit of the base it was tuned from.
    """
    cell = f"{role}.{arm}"
    kind = arm if (role, arm) in grid.searched() else "base"
    heads = f"{role}.heads" if role in grid.students() else f"{role}.{kind}.circuit"
    run = ("task", "seed", "training_seed", "experiment")
    tracked = {"role": f"params:family.roles.{role}.name", "arm": f"params:names.{arm}"}
    tracked |= {"predictions": f"{cell}.predictions"} | {name: f"params:{name}" for name in run}
    trained = (role, arm) in grid.cells()
    if trained:
        tracked |= {"history": f"{cell}.history", "settings": f"{cell}.settings"}
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
