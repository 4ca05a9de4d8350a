"""All parameters of a node reach MLflow in as few writes as it allows."""

from __future__ import annotations

from types import SimpleNamespace

import mlflow
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from circuit_distillation.hooks.batched_parameters import BatchedHook
from circuit_distillation.hooks.tracking import SQLITE, TrackingHooks


def hook() -> BatchedHook:
    """As kedro-mlflow is set up by conf/base/mlflow.yml."""
    made = BatchedHook()
    made.run_id, made._is_mlflow_enabled = None, True
    made.flatten, made.recursive, made.sep, made.long_params_strategy = True, True, ".", "tag"
    return made


def test_all_values_arrive_and_long_ones_become_tags(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(mlflow.tracking.fluent, "_active_experiment_id", None)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)  # of a run before, in another database
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"{SQLITE}{tmp_path}/mlflow.db")
    many = {f"v{i}": i for i in range(230)}
    inputs = {"params:a": {"b": {"c": 1}, "text": "x" * (MAX_PARAM_VAL_LENGTH + 1)}, "params:many": many}
    writes, real = [], mlflow.log_params
    monkeypatch.setattr(mlflow, "log_params", lambda part: writes.append(len(part)) or real(part))
    with mlflow.start_run() as run:
        hook().before_node_run(node=None, catalog=None, inputs=inputs | {"data": 5}, is_async=False)
    stored = mlflow.get_run(run.info.run_id).data
    mlflow.set_tracking_uri(before)
    assert stored.params == {"a.b.c": "1"} | {f"many.v{i}": str(i) for i in range(230)}
    assert stored.tags["a.text"].startswith("xxx")
    assert writes == [100, 100, 31]


def test_a_parameter_is_logged_once_a_run() -> None:
    seen: list[dict] = []
    tracking = TrackingHooks()
    tracking._mlflow = SimpleNamespace(
        before_node_run=lambda inputs, **_: seen.append(inputs), before_pipeline_run=lambda **_: None
    )
    tracking._tag = lambda parameters: None
    catalog = SimpleNamespace(load=lambda name: {})

    def node(**inputs) -> None:
        tracking.before_node_run(None, catalog, inputs, False)

    for _ in range(2):
        tracking.before_pipeline_run({}, None, catalog)
        node(**{"params:a": 1, "data": object()})
        node(**{"params:a": 1, "params:b": 2})
    assert seen == [{"params:a": 1}, {"params:b": 2}] * 2
