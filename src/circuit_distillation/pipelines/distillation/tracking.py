"""One MLflow child run for each student and arm: parameters, loss curves, accuracies."""

from __future__ import annotations

from typing import Any

from circuit_distillation.pipelines.tracking import going_on

CURVES = ("loss", "ce", "similarity", "noise_floor", "lr", "validation_accuracy", "validation_ce")
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
        mlflow.set_tags(tags)
        mlflow.log_params(flatten(settings, "distillation."))
        mlflow.log_metrics(accuracies)
        if history is not None:
            _log_curves(history, run.info.run_id)
            _attach(history)
    return run.info.run_id


def flatten(mapping: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


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
