"""Bad input stops a run with one line, before any work and before MLflow opens a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.framework.cli.utils import KedroCliError
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.runner import ParallelRunner, SequentialRunner, ThreadRunner

from circuit_distillation.hooks.artifacts import MissingArtifactError
from circuit_distillation.hooks.parameters import InvalidParameterError
from circuit_distillation.hooks.runs import UnsupportedOptionError
from circuit_distillation.runner import ArtifactRunner

ROOT = Path(__file__).parents[2]


def run(data_root: Path, pipelines: list[str] | None = None, options=None, **parameters) -> None:
    bootstrap_project(ROOT)
    given = {"data_root": str(data_root), **parameters}
    with KedroSession.create(project_path=ROOT, env="test", runtime_params=given) as session:
        session.run(pipeline_names=pipelines, **{"runner": ArtifactRunner(), **(options or {})})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tsk": "tom"}, "unknown parameter `tsk`: did you mean `task`?"),
        ({"task": "tomm"}, "parameter `task` = 'tomm': must be one of entity, tom, sally; did you mean"),
        ({"distillation": {"epoch": 3}}, "unknown parameter `distillation.epoch`: did you mean `epochs`?"),
        ({"teacher_tuning": {"entity": {"large": {"corpus_stpes": 1}}}}, "did you mean `corpus_steps`?"),
        ({"experiment": "../x"}, "parameter `experiment` = '../x'"),
    ],
)
def test_a_bad_parameter_is_one_line_and_leaves_nothing(tmp_path, parameters, message):
    with pytest.raises(InvalidParameterError) as caught:
        run(tmp_path, **parameters)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*"))


def test_a_missing_artifact_names_the_commands_that_make_it(tmp_path):
    with pytest.raises(MissingArtifactError) as caught:
        run(tmp_path, ["head_mapping"], task="tom")
    text = str(caught.value)
    assert "large.tuned.circuit" in text and "\n" not in text
    assert "kedro run --pipelines data_generation,pretraining,teacher_tuning,circuit_discovery" in text
    assert "task=tom" in text and "--only-missing-outputs" in text
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "mlflow" not in path.name]


def test_the_command_that_is_named_can_be_given_as_it_is(tmp_path):
    with pytest.raises(MissingArtifactError) as caught:
        run(tmp_path, ["head_mapping"], task="tom", seed=1, family={"instruct": None})
    assert "task=tom,seed=1,family.instruct=null" in str(caught.value)


@pytest.mark.parametrize(
    ("pipeline", "given", "message"),
    [
        ("study", {}, "no run has left any in this data folder. `make run` makes one"),
        ("compare", {"experiments": "paper+lambda5"}, "no run has left any in this data folder"),
        ("compare", {}, "parameter `experiments` is not given: name two"),
        ("search", {"search": {"training_seed": 9}}, "parameter `search.training_seed` = 9"),
    ],
)
def test_what_only_one_pipeline_needs_is_refused_before_any_work(tmp_path, pipeline, given, message):
    import mlflow

    with pytest.raises(KedroCliError) as caught:
        run(tmp_path, [pipeline], task="tom", **given)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    assert mlflow.search_runs(search_all_experiments=True).empty


def test_no_mlflow_run_is_left_by_a_missing_artifact(tmp_path):
    import mlflow

    with pytest.raises(MissingArtifactError):
        run(tmp_path, ["distillation"])
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    assert mlflow.search_runs(search_all_experiments=True).empty


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runner": ThreadRunner()}, "ThreadRunner: nodes run one after the other here"),
        ({"runner": ParallelRunner()}, "ParallelRunner: nodes run one after the other here"),
        ({"runner": SequentialRunner()}, "SequentialRunner: nodes run one after the other here"),
        ({"load_versions": {"examples.test": "2026-01-01"}}, "--load-versions: nothing here is versioned"),
    ],
)
def test_an_option_of_kedro_that_cannot_work_is_refused_before_any_work(tmp_path, options, message):
    with pytest.raises(UnsupportedOptionError, match=message) as caught:
        run(tmp_path, ["data_generation"], options, task="tom")
    assert "\n" not in str(caught.value) and not list(tmp_path.rglob("*.parquet"))


def test_asynchronous_loading_is_refused():
    with pytest.raises(ValueError, match="models cannot be loaded asynchronously: leave out --async"):
        ArtifactRunner(is_async=True)
