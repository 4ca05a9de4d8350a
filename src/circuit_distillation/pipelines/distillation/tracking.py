"""One MLflow child run for each student and arm: parameters, loss curves, accuracies."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

from circuit_distillation.arms import ARMS
from circuit_distillation.pipelines.tracking import flatten, going_on
from circuit_distillation.training.draws import draw_name

CURVES = ("loss", "ce", "similarity", "noise_floor", "lr", "validation_accuracy", "validation_ce")
LINKS = {"compare_arms": "arms of this student", "compare_experiments": "this arm in other experiments"}
# Charts side by side. Any order but that of time makes MLflow show nested runs beside one another.
VIEW = "compareRunsMode=CHART&orderByKey=metrics.%60full_accuracy%60&orderByAsc=false"
ACCURACIES = ("full_correct", "full_candidate_correct", "circuit_correct", "circuit_candidate_correct")


def track_baseline(role: str, arm: str, predictions, **run) -> dict[str, str | None]:
    """Log an untrained or tuned model: its accuracies. `run` is task, seed, training_seed and experiment."""
    return _track(role, arm, predictions, run, {}, None)


def track_student(
    role: str, arm: str, predictions, history, settings: dict[str, Any], **run
) -> dict[str, str | None]:
    """Log a student: all that it trained with, loss curves and accuracies; `run` as for a baseline."""
    return _track(role, arm, predictions, run, settings, history)


def _track(
    role: str, arm: str, predictions, of_run: dict[str, Any], settings: dict[str, Any], history
) -> dict[str, str | None]:
    """The identifier of the child run, which the catalog keeps beside the predictions; null without one."""
    name, run_id = f"{role}/{arm}", None
    with going_on(f"{name}; to log it later, delete its .mlflow_run.json and run --only-missing-outputs"):
        run_id = _log_run(name, predictions, {"student": role, "arm": arm, **of_run}, settings, history)
    return {"run_id": run_id, "run_name": name}


def _log_run(name: str, predictions, tags: dict[str, Any], settings: dict[str, Any], history) -> str:
    import mlflow

    means = predictions[list(ACCURACIES)].mean()
    accuracies = {column.replace("correct", "accuracy"): float(mean) for column, mean in means.items()}
    with mlflow.start_run(run_name=name, nested=mlflow.active_run() is not None) as run:
        mlflow.set_tags(tags | comparisons(tags, run.info.experiment_id))
        _log_datasets(predictions, tags, history)
        mlflow.log_params(flatten(settings, "distillation."))
        mlflow.log_metrics(accuracies)
        if history is not None:
            _log_curves(history, run.info.run_id)
            _attach(history)
    return run.info.run_id


def comparisons(tags: dict[str, Any], experiment_id: str) -> dict[str, str]:
    """Tags that runs to be compared share, and a description with a link to each group.

    `compare_arms` is shared by the arms of one student, `compare_experiments` by one arm in every experiment.
    """
    run = f"{tags['task']}/seed{tags['seed']}"
    own = draw_name(tags["experiment"], tags["training_seed"])
    groups = {
        "compare_arms": f"{run}/{own}/{tags['student']}",
        "compare_experiments": f"{run}/{tags['student']}.{tags['arm']}",
    }
    filters = {tag: quote(f"tags.{tag} = {group!r}") for tag, group in groups.items()}
    links = [
        f"[{words}](#/experiments/{experiment_id}/runs?{VIEW}&searchFilter={filters[tag]})"
        for tag, words in LINKS.items()
    ]
    return groups | {"mlflow.note.content": "Compare: " + ", ".join(links)}


def _log_datasets(predictions, tags: dict[str, Any], history) -> None:
    """Name the prompts that the model was tested on and, for a student, those it was trained on."""
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    source, run = CodeDatasetSource({}), f"{tags['task']}.seed{tags['seed']}"
    asked = predictions[["example_id", "answer"]].to_csv(index=False).encode()
    digest = hashlib.sha256(asked).hexdigest()[:8]
    mlflow.log_input(MetaDataset(source, name=f"{run}.test", digest=digest), context="testing")
    if history is not None:
        split = "corpus" if ARMS[tags["arm"]].data == "corpus" else "train"
        drawn = MetaDataset(source, name=f"{run}.{split}", digest=f"draw{tags['training_seed']}")
        mlflow.log_input(drawn, context="training")


def _attach(history) -> None:
    """The history, with the similarity of every pair, as a table and as a picture."""
    import mlflow

    from circuit_distillation.reporting.curves import similarity_figure

    mlflow.log_text(history.to_csv(index=False), "history.csv")
    if history["similarity"].notna().any():
        mlflow.log_figure(similarity_figure(history), "similarity.png")


def _log_curves(history, run_id: str) -> None:
    """All points of all curves in a few requests; MLflow takes at most 1000 in one."""
    import mlflow
    from mlflow.entities import Metric

    now = int(mlflow.get_run(run_id).info.start_time)
    points = [
        Metric(name, float(row[name]), now + int(1000 * row["seconds"]), int(row["step"]))
        for row in history.to_dict("records")
        for name in CURVES
        if name in row and row[name] == row[name]
    ]
    client = mlflow.MlflowClient()
    for start in range(0, len(points), 1000):
        client.log_batch(run_id, metrics=points[start : start + 1000])
