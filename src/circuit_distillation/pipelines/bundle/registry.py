"""Students as registered models of MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

MODEL = "circuit_distillation.{task}.{student}"  # versions are seeds, draws and experiments of one student
LONGEST = 100_000  # characters of a description


def register(folder: Path, run: Mapping[str, Any], accuracies: Mapping[str, float]) -> dict[str, Any]:
    """A new version whose source is the folder of the bundle and whose description is its card."""
    import mlflow

    client, active = mlflow.MlflowClient(), mlflow.active_run()
    name = MODEL.format(task=run["task"], student=run["student"])
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(
            name, description=f"Student {run['student']} on the task {run['task']}."
        )
    tags = {key: str(value) for key, value in run.items()}
    tags |= {f"{part}_accuracy": f"{value:.4f}" for part, value in accuracies.items()}
    card = (folder / "README.md").read_text().split("---\n", 2)[-1].strip()
    made = client.create_model_version(
        name,
        source=folder.resolve().as_uri(),
        run_id=None if active is None else active.info.run_id,
        tags=tags,
        description=card[:LONGEST],
    )
    if active is not None:
        mlflow.log_text(card, "README.md")
    return {"name": name, "version": made.version}
