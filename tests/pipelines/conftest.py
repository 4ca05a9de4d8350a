"""Kedro sessions on the small configuration, in a data folder of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from circuit_distillation.runner import ArtifactRunner

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def run_kedro() -> Callable[..., dict]:
    """run_kedro(data_root, pipelines=[...], only_missing_outputs=False, **runtime parameters)."""
    bootstrap_project(ROOT)

    def run(
        data_root: Path, pipelines: list[str] | None = None, only_missing_outputs: bool = False, **parameters
    ) -> dict:
        given = {"data_root": str(data_root), **parameters}
        with KedroSession.create(project_path=ROOT, env="test", runtime_params=given) as session:
            return session.run(
                pipeline_names=pipelines, runner=ArtifactRunner(), only_missing_outputs=only_missing_outputs
            )

    return run


@pytest.fixture(scope="session")
def data_root(tmp_path_factory, run_kedro) -> Path:
    """A data folder in which both tasks have run."""
    root = tmp_path_factory.mktemp("data")
    for task in ("entity", "tom"):
        run_kedro(root, task=task)
    return root
