"""Validate every parameter before any work and before MLflow opens a run."""

from __future__ import annotations

from kedro.framework.cli.utils import KedroCliError
from kedro.framework.hooks import hook_impl
from kedro.framework.project import PACKAGE_NAME, pipelines

from circuit_distillation import grid
from circuit_distillation.parameters import ParameterError, check_known, validate


class InvalidParameterError(KedroCliError):
    """A parameter that is unknown, mistyped or out of range."""


class ParameterHooks:
    """Check the merged parameters and choose the arms they ask for."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context) -> None:
        """Refuse bad parameters with one line; then let the registry build the grid of this task."""
        loader = context.config_loader
        given, loader.runtime_params = loader.runtime_params, {}
        known = loader["parameters"]
        loader.runtime_params = given
        try:
            check_known(given or {}, known)
            parameters = validate(loader["parameters"])
        except ParameterError as error:
            raise InvalidParameterError(str(error)) from None
        if grid.select(parameters.task, parameters.distillation.extra_arms):
            pipelines.configure(f"{PACKAGE_NAME or 'circuit_distillation'}.pipeline_registry")
