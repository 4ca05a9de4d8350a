"""The pipelines of theory of mind, with a stand-in for every artifact and the fingerprint it would get."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
from kedro.framework.project import pipelines, settings
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Pipeline
from omegaconf import OmegaConf

from circuit_distillation.datasets.checkpoint import CheckpointDataset
from circuit_distillation.datasets.folder import FolderDataset
from circuit_distillation.datasets.rows import RowsDataset
from circuit_distillation.fingerprints.artifacts import artifact_of
from circuit_distillation.fingerprints.plan import TAKEN, Planner
from circuit_distillation.fingerprints.record import write_record
from circuit_distillation.hooks.tracking import TrackingHooks
from circuit_distillation.parameters import validate
from circuit_distillation.parameters.resolve import resolve, unresolved

ROOT = Path(__file__).parents[2]


class Project(NamedTuple):
    """The default pipeline of a run, its catalog and its parameters."""

    pipeline: Pipeline
    catalog: Any
    parameters: dict[str, Any]

    def planner(self) -> Planner:
        """Of the whole pipeline, with these parameters."""
        self.catalog.save("parameters", self.parameters)
        return Planner(self.pipeline.nodes, self.catalog)

    def running(self) -> set[str]:
        """Names of the nodes that a run for what is missing would execute."""
        return {name for name, verdict in self.planner().verdicts().items() if verdict.runs}

    def taken(self) -> set[str]:
        """Names of the nodes whose outputs such a run would take from another experiment."""
        return {name for name, verdict in self.planner().verdicts().items() if verdict.state == TAKEN}

    def store(self, *names: str, content: str = "made", fingerprints: bool = True) -> None:
        """Stand-ins for the outputs of the named nodes, or of all, in running order."""
        for node in self.pipeline.nodes:
            if not names or node.name in names:
                made = self.planner().made(node)
                for output in node.outputs:
                    dataset = self.catalog.get(output)
                    _stand_in(dataset, content)
                    if fingerprints:
                        write_record(artifact_of(dataset), made, node.name)

    def below(self, *names: str) -> set[str]:
        """The named nodes and all that follow from what they make."""
        return {node.name for node in self.pipeline.from_nodes(*names).nodes}

    def nodes(self, *endings: str) -> list[str]:
        """Nodes whose names end so."""
        return [node.name for node in self.pipeline.nodes if node.name.endswith(endings)]


def _stand_in(dataset: Any, content: str) -> None:
    path = Path(dataset._filepath)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(dataset, RowsDataset):
        dataset.save(pd.DataFrame([{"task": "tom", "seed": 0, "experiment": "paper", "x": content}]))
    elif isinstance(dataset, CheckpointDataset):
        path.mkdir(exist_ok=True)
        for name in ("config.json", "model.safetensors", "checksums.json"):
            (path / name).write_text(f"{path} {content}")
    elif isinstance(dataset, FolderDataset):
        dataset.save({"figure.svg": content.encode()})
    else:
        path.write_text(json.dumps(f"{path} {content}"))


@pytest.fixture(scope="session")
def stored(tmp_path_factory) -> Project:
    """Everything is stored with its fingerprint."""
    stored = _project(tmp_path_factory.mktemp("stored"), "test", {})
    stored.store()
    return stored


@pytest.fixture
def project(stored) -> Callable[..., Project]:
    """project(env="test", **runtime parameters), on the stored folder; the task is theory of mind."""
    return lambda env="test", **given: _changed(stored, env, given)


@pytest.fixture
def restored(stored, tmp_path) -> Iterator[None]:
    """For tests that change what is stored."""
    kept, root = tmp_path / "kept", stored.parameters["data_root"]
    shutil.copytree(root, kept)
    yield
    shutil.rmtree(root)
    shutil.copytree(kept, root)


def _changed(stored: Project, env: str, given: dict[str, Any]) -> Project:
    """With other values in blocks of parameters, as a session would merge them; else a session of its own."""
    of_session = env != "test" or not all(isinstance(value, dict) for value in given.values())
    if of_session or "extra_arms" in given.get("distillation", {}):
        return _project(Path(stored.parameters["data_root"]), env, given)
    merged = OmegaConf.to_container(OmegaConf.merge(unresolved(stored.parameters), given))
    return stored._replace(parameters=merged | resolve(validate(merged), given))


def _project(root: Path, env: str, given: dict[str, Any]) -> Project:
    bootstrap_project(ROOT)
    runtime = {"data_root": str(root), "task": "tom", **given}
    with KedroSession.create(project_path=ROOT, env=env, runtime_params=runtime) as session:
        for hook in settings.HOOKS:
            if isinstance(hook, TrackingHooks):  # whose store of env="local" is in the project's own folder
                session._hook_manager.unregister(hook)
        context = session.load_context()
        return Project(pipelines["__default__"], context.catalog, context.config_loader["parameters"])
