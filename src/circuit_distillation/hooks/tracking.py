"""Track every run in MLflow. If MLflow's store fails, a line names it and the run goes on."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, unquote
from urllib.request import urlopen

from kedro.framework.hooks import hook_impl

from circuit_distillation.parameters import plain
from circuit_distillation.storage.atomic import locked, remove_leftovers, write_atomically
from circuit_distillation.storage.errors import first_line, without_secrets

logger = logging.getLogger(__name__)
SQLITE = "sqlite:///"
FAILED = "MLflow has failed (%s): the run goes on without it"
OF_A_RUN = ("task", "seed", "training_seed", "experiment")
MEANWHILE = "mlflow_meanwhile.db"  # in the data folder
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}  # times, seconds


class TrackingHooks:
    """kedro-mlflow's hooks, guarded. settings.py keeps Kedro from calling them a second time.

    A store that cannot be used at the start is replaced by a database in the data folder, which is named; one
    that fails later is not used any more.
    """

    def __init__(self) -> None:
        self._mlflow: Any = None
        self._logged: set[str] = set()

    @hook_impl
    def after_context_created(self, context) -> None:
        """Set MLflow up, at the configured store or at the one that stands in for it."""
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        loader = context.config_loader
        loader.config_patterns.setdefault("mlflow", ["mlflow*", "mlflow*/**", "**/mlflow*"])
        configured = loader["mlflow"]
        uri = configured["server"]["mlflow_tracking_uri"] or os.environ.get("MLFLOW_TRACKING_URI", "")
        why = fault_of(uri) or self._set_up(context)
        if why is None:
            return
        root = Path(context.project_path) / loader["parameters"]["data_root"]
        meanwhile = f"{SQLITE}{quote(str(root / MEANWHILE))}"
        server = configured["server"] | {"mlflow_tracking_uri": meanwhile}
        loader["mlflow"] = configured | {"server": server}
        why_not = fault_of(meanwhile) or self._set_up(context)
        instead = f"not tracked ({why_not})" if why_not else f"tracked in {meanwhile} instead"
        logger.warning(
            "%s: this run is %s", without_secrets(f"MLflow at {uri} cannot be used ({why})"), instead
        )

    def _set_up(self, context) -> str | None:
        """None, or why MLflow does not work."""
        from circuit_distillation.hooks.batched_parameters import BatchedHook

        self._mlflow = BatchedHook()
        try:
            self._mlflow.after_context_created(context)
        except Exception as error:  # of any kind: MLflow passes on those of its stores
            self._mlflow = None
            return first_line(error)
        return None

    @hook_impl
    def before_pipeline_run(self, run_params, pipeline, catalog) -> None:
        """Open the run; after all checks, which are `tryfirst`."""
        self._logged.clear()
        self._call("before_pipeline_run", run_params=run_params, pipeline=pipeline, catalog=catalog)
        self._tag(catalog.load("parameters"))

    @hook_impl
    def before_node_run(self, node, catalog, inputs, is_async) -> None:
        """Log the parameters of the node that no node before it had.

        Not `parameters`, all of them, which some nodes take: their parts are logged where they are used.
        """
        new = {name for name in inputs if name.startswith("params:")} - self._logged
        self._logged |= new
        logged = {name: plain(inputs[name]) for name in sorted(new)}  # kedro-mlflow flattens dicts alone
        self._call("before_node_run", node=node, catalog=catalog, inputs=logged, is_async=is_async)

    @hook_impl
    def after_pipeline_run(self, run_params, pipeline, catalog) -> None:
        """Close the run."""
        self._call("after_pipeline_run", run_params=run_params, pipeline=pipeline, catalog=catalog)

    @hook_impl
    def on_pipeline_error(self, error, run_params, pipeline, catalog) -> None:
        """Close the run as failed."""
        arguments = {"run_params": run_params, "pipeline": pipeline, "catalog": catalog}
        self._call("on_pipeline_error", error=error, **arguments)

    def _tag(self, parameters: dict[str, Any]) -> None:
        """Tags by which runs of a task, seed or experiment are found."""
        if self._mlflow is None:
            return
        import mlflow

        try:
            mlflow.set_tags({name: parameters[name] for name in OF_A_RUN})
        except Exception as error:  # of any kind, as below
            self._mlflow = None
            logger.warning(FAILED, first_line(error))

    def _call(self, name: str, **arguments: Any) -> None:
        if self._mlflow is None:
            return
        try:
            getattr(self._mlflow, name)(**arguments)
        except Exception as error:
            self._mlflow = None
            logger.warning(FAILED, first_line(error))


def fault_of(uri: str) -> str | None:
    """Why a store cannot be used, found out quickly: MLflow itself would try for minutes or hours.

    None if it can, or if only using it can show that. A database that is not there yet is made.
    """
    try:
        if uri.startswith(("http://", "https://")):
            urlopen(f"{without_secrets(uri).rstrip('/')}/health", timeout=5).close()
        elif uri.startswith(SQLITE):
            path = Path(unquote(uri.removeprefix(SQLITE)))
            _make_database(path)
            return _fault_of_database(path)
    except HTTPError:  # it answers
        return None
    except Exception as error:  # SQLAlchemy's among them, with reasons of the file system
        return first_line(error)
    return None


def _make_database(path: Path) -> None:
    """Made beside and renamed: a kill in the middle of MLflow's migrations would leave no usable one."""
    if path.exists():
        return
    with locked(path):
        if not path.exists():
            remove_leftovers([path])
            write_atomically(path, _migrate)


def _migrate(path: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"{SQLITE}{quote(str(path))}", (path.parent / "mlartifacts").as_uri()).engine.dispose()


def _fault_of_database(path: Path) -> str | None:
    with closing(sqlite3.connect(path, timeout=10)) as database:
        found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        database.execute("UPDATE runs SET name = name WHERE 0")  # refused where it can only be read
    return None if found == "ok" else found
