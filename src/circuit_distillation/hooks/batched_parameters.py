"""kedro-mlflow's hook with one write for all parameters of a node; by itself it writes each one alone."""

from __future__ import annotations

from typing import Any

import mlflow
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH, MAX_PARAMS_TAGS_PER_BATCH


class BatchedHook(MlflowHook):
    """The same values as kedro-mlflow logs. Those too long for a parameter go its way."""

    def before_node_run(self, **arguments: Any) -> None:
        self._batch: dict[str, Any] = {}
        super().before_node_run(**arguments)
        items = list(self._batch.items())
        for start in range(0, len(items), MAX_PARAMS_TAGS_PER_BATCH):
            mlflow.log_params(dict(items[start : start + MAX_PARAMS_TAGS_PER_BATCH]))

    def _log_param(self, name: str, value: Any) -> None:
        if len(str(value)) > MAX_PARAM_VAL_LENGTH:
            super()._log_param(name, value)
        else:
            self._batch[name] = value
