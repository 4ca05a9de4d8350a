"""MLflow that is broken, out of reach or dies on the way: said in a line, and the run goes on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, unquote

import mlflow
import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from omegaconf import OmegaConf

from circuit_distillation.hooks import tracking
from circuit_distillation.hooks.tracking import SQLITE, TrackingHooks, fault_of
from circuit_distillation.pipelines.circuit_discovery.tracking import track_cost
from circuit_distillation.pipelines.distillation.tracking import ACCURACIES, track_baseline
from circuit_distillation.pipelines.tracking import going_on
from circuit_distillation.runner import ArtifactRunner
from circuit_distillation.settings import project_path

ROOT = Path(__file__).parents[2]
TOKEN = "hf_NoBodyMustEverSeeThis0123456789"
NOWHERE = "http://user:secret@127.0.0.1:9/"  # the port of the discard service, which nothing answers


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    """A fresh database of MLflow."""
    path = tmp_path_factory.mktemp("mlflow") / "100%25 a ?b" / "mlflow.db"  # which a URI has to quote
    path.parent.mkdir()
    assert fault_of(f"{SQLITE}{quote(str(path))}") is None
    return path


def test_a_database_is_made_whole_and_a_killed_making_is_cleaned(database, tmp_path, monkeypatch) -> None:
    assert {path.name for path in database.parent.glob("*db*")} <= {"mlflow.db", ".mlflow.db.lock"}
    with closing(sqlite3.connect(database)) as opened:
        assert opened.execute("SELECT count(*) FROM runs").fetchone() == (0,)
    left = tmp_path / ".mlflow.db.killed.db"
    left.write_text("half")
    monkeypatch.setattr(tracking, "_migrate", lambda path: path.write_bytes(database.read_bytes()))
    assert fault_of(f"{SQLITE}{tmp_path}/mlflow.db") is None and not left.exists()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda data: b"nonsense" * 1000, "file is not a database"),
        (lambda data: data[: len(data) // 2], "malformed"),
        (lambda data: b"", "no such table: runs"),
    ],
    ids=["nonsense", "cut off", "empty"],
)
def test_a_broken_database_is_found_out_at_once(database, tmp_path, spoil, why: str) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(spoil(database.read_bytes()))
    assert why in fault_of(f"{SQLITE}{path}")


def test_a_database_that_can_only_be_read_is_found_out_at_once(database, monkeypatch) -> None:
    connect = sqlite3.connect

    def read_only(path, **_: object) -> sqlite3.Connection:
        return connect(f"{Path(path).as_uri()}?mode=ro", uri=True)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    assert fault_of(f"{SQLITE}{quote(str(database))}") == "attempt to write a readonly database"


def test_the_path_of_the_project_is_quoted_for_uris(tmp_path, monkeypatch) -> None:
    project = tmp_path / "100%25 a ?b"
    project.mkdir()
    (project / "pyproject.toml").write_text("[tool.kedro]")
    monkeypatch.chdir(project)
    assert unquote(project_path()) == str(project) and not {" ", "?"} & set(project_path())


def test_a_server_out_of_reach_is_found_out_at_once() -> None:
    assert "Connection refused" in fault_of(NOWHERE)
    assert fault_of("postgresql://somewhere/mlflow") is None  # which only using it can show


def test_a_server_that_dies_is_left_alone_from_then_on(caplog) -> None:
    calls = []

    def die(**arguments) -> None:
        calls.append(arguments)
        raise ConnectionError(f"no route to {NOWHERE}\nand more")

    hook = TrackingHooks()
    hook._mlflow = SimpleNamespace(before_node_run=die)
    for _ in range(2):
        hook.before_node_run(None, None, {}, False)
    hook.after_pipeline_run({}, None, None)
    assert len(calls) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "MLflow has failed (no route to http://127.0.0.1:9/): the run goes on without it"
    ]


def test_nodes_tell_no_password(caplog) -> None:
    with going_on("a history"):
        raise ConnectionError(f"API request to {NOWHERE}api/2.0/mlflow failed\nand more")
    assert [record.getMessage() for record in caplog.records] == [
        "MLflow has failed (API request to http://127.0.0.1:9/api/2.0/mlflow failed): not logged is a history"
    ]


def test_nodes_give_their_results_without_mlflow(monkeypatch, caplog) -> None:
    def refuse(*_, **__) -> None:
        raise ConnectionError("refused")

    for name in ("start_run", "log_metrics"):
        monkeypatch.setattr(mlflow, name, refuse)
    monkeypatch.setattr(mlflow, "active_run", lambda: object())
    track_cost("discovery", {"name": "small"}, "base", {"seconds": 1.0})
    frame = pd.DataFrame({column: [True] for column in ACCURACIES})
    kept = track_baseline("small", "base", frame, task="tom", seed=0)
    assert kept == {"run_id": None, "run_name": "small/base"}
    assert caplog.text.count("MLflow has failed (refused): not logged is") == 2


def test_a_run_with_a_broken_database_goes_on_and_no_token_is_written(tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (tmp_path / "mlflow.db").write_bytes(b"nonsense" * 1000)
    bootstrap_project(ROOT)
    given = {"data_root": str(tmp_path), "task": "tom"}
    with KedroSession.create(project_path=ROOT, env="test", runtime_params=given) as session:
        session.run(pipeline_names=["data_generation"], runner=ArtifactRunner())
    meanwhile = tmp_path / "mlflow_meanwhile.db"
    said = f"cannot be used (file is not a database): this run is tracked in {SQLITE}{meanwhile} instead"
    assert said in caplog.text
    assert (tmp_path / "03_primary/mini/seed0/tom/test.parquet").is_file()
    mlflow.set_tracking_uri(f"{SQLITE}{meanwhile}")
    assert mlflow.search_runs(search_all_experiments=True)["status"].tolist() == ["FINISHED"]
    assert TOKEN not in caplog.text
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10 and not [path for path in written if TOKEN.encode() in path.read_bytes()]


def test_no_configuration_opens_a_server_to_others() -> None:
    """MLflow's and Kedro-Viz's own default is this machine alone."""
    for path in ROOT.glob("conf/*/mlflow.yml"):
        assert "ui" not in OmegaConf.load(path)
    text = "".join(path.read_text() for path in [ROOT / "Makefile", *(ROOT / "scripts").glob("*.*")])
    assert "0.0.0.0" not in text
