"""Kedro settings: hooks, configuration loading, warnings to hide."""

import warnings
from pathlib import Path
from urllib.parse import quote

from kedro.utils import find_kedro_project

from circuit_distillation.hooks.environments import LayeredConfigLoader
from circuit_distillation.hooks.parameters import ParameterHooks
from circuit_distillation.hooks.runs import RunHooks
from circuit_distillation.hooks.tracking import TrackingHooks
from circuit_distillation.training.draws import draw_name

# Nodes outside a namespace read datasets of many (reporting, mapping); Kedro warns at each dotted name.
warnings.filterwarnings("ignore", message=".*dataset names contain '.' characters.*", category=UserWarning)


def project_path() -> str:
    """Absolute path of the project, so that MLflow's files do not follow the working directory.

    Quoted, since it becomes part of URIs.
    """
    return quote(str(find_kedro_project(Path.cwd()) or Path.cwd()))


# Called last to first: parameters are checked before all else, and MLflow opens a run only after all checks.
HOOKS = (TrackingHooks(), RunHooks(), ParameterHooks())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-mlflow", "kedro_mlflow")  # TrackingHooks calls them

CONFIG_LOADER_CLASS = LayeredConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # "soft": a partial block in another environment or in --params changes only the keys it names.
    "merge_strategy": {"parameters": "soft", "mlflow": "soft"},
    "config_patterns": {"experiments": ["experiments*"]},
    "custom_resolvers": {"project_path": project_path, "draw_name": draw_name},
}
