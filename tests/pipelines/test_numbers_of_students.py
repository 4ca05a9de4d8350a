"""Families of one, two and three students: what is registered, and whole runs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from standins import train_bpe, write_checkpoint

from circuit_distillation import grid
from circuit_distillation.arms import PAPER_ARMS

from .conftest import ROOT
from .test_llama3 import conf, parameters, run_llama3  # noqa: F401  (conf is a fixture)

ALL = ("tiny", "small", "medium", "big")
FAMILIES = [ALL[1:2], ALL[:3], ALL]


def loaded(folder: Path, students: tuple[str, ...], models: Path) -> dict:
    """Parameters of a run of the llama3 environment with these students."""
    roles = (*students, "large")
    absent = {role: None for role in ("small", "medium") if role not in students}
    given = parameters(folder, {"models": {role: models / role for role in roles}}, "entity")
    given["family"]["models"] |= absent
    given["family"]["instruct"] = None
    given["family"]["roles"] = absent | {role: {"name": role, "label": role[0].upper()} for role in roles}
    given["finetuning"]["method"] = dict.fromkeys(roles, "full")
    return given


@pytest.fixture(params=FAMILIES, ids=len)
def students(request) -> tuple[str, ...]:
    return request.param


@pytest.fixture
def registered(tmp_path, students):
    """Pipelines and catalog of a family with these students; those of the default family afterwards."""
    bootstrap_project(ROOT)
    given = loaded(tmp_path, students, tmp_path)
    with KedroSession.create(project_path=ROOT, env="llama3", runtime_params=given) as session:
        yield session.load_context().catalog
    default = {"data_root": str(tmp_path)}
    with KedroSession.create(project_path=ROOT, env="test", runtime_params=default) as session:
        session.load_context()


def test_the_grid_and_all_pipelines_follow_the_family(registered, students):
    assert grid.students() == students and grid.roles() == (*students, "large")
    stored = [name for pipeline in pipelines.values() for name in pipeline.datasets() if "param" not in name]
    parts = {part for name in stored for part in name.split(".")}
    assert parts & set(grid.ROLES) == set(grid.roles())
    trained = {node.namespace for node in pipelines["distillation"].nodes}
    assert {f"{role}.{arm}" for role in students for arm in PAPER_ARMS} <= trained
    assert all(name in registered for name in stored)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder, tokenizer = tmp_path_factory.mktemp("models"), train_bpe()
    shapes = {"tiny": "small", "small": "small", "medium": "medium", "large": "large"}
    for seed, (role, shape) in enumerate(shapes.items()):
        write_checkpoint(folder / role, shape, tokenizer, seed)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("students", FAMILIES[:2], ids=len)
def test_a_loaded_family_runs_to_the_page(tmp_path, conf, models, students):  # noqa: F811
    run_llama3(conf, loaded(tmp_path, students, models), ["__default__", "plan"])
    assert_reported(tmp_path / "data/08_reporting/llama3", [role[0].upper() for role in students])
    assert "tiny" in (tmp_path / "data/08_reporting/llama3/plan_entity.md").read_text() or len(students) == 1


@pytest.mark.slow
@pytest.mark.parametrize("student", ["small", "medium"])
def test_the_mini_family_runs_with_one_student(tmp_path, run_kedro, student):
    other = "medium" if student == "small" else "small"
    run_kedro(tmp_path, task="entity", family={"roles": {other: None}})
    assert_reported(tmp_path / "08_reporting/mini", [student[0].upper()])


def assert_reported(folder: Path, labels: list[str]) -> None:
    """Every table has measured rows of these students and no rows of others."""
    for number in (1, 3):
        table = pd.read_csv(folder / f"table{number}.csv")
        named = table["model"].str.extract(r"Base-(\w+)")[0].dropna()
        assert set(labels) <= set(named) <= {*labels, "L"}
        assert table["full_model"].notna().all()
    assert set(pd.read_csv(folder / "significance.csv")["student"].str[0].str.upper()) == set(labels)
    assert f"{' and '.join(labels)}, teacher L" in (folder / "report.html").read_text()
