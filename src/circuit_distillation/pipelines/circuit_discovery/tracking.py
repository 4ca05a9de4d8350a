"""Log the cost of circuit searches to MLflow."""

from __future__ import annotations

from circuit_distillation.pipelines.tracking import going_on


def track_cost(what: str, role: dict, arm: str, cost: dict[str, float]) -> None:
    """Log a cost's forward-equivalents, naive ones and seconds as metrics of the run, if there is one."""
    import mlflow

    if mlflow.active_run() is not None:
        cell = f"{what}.{role['name']}.{arm}"
        with going_on(f"the cost of {cell}"):
            mlflow.log_metrics({f"{cell}.{name}": float(value) for name, value in cost.items()})
