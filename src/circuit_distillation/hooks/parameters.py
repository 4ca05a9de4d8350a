"""Validate every parameter before any work and before MLflow opens a run."""

from __future__ import annotations

from typing import Any

from kedro.config import MissingConfigException
from kedro.framework.cli.utils import KedroCliError
from kedro.framework.hooks import hook_impl
from kedro.framework.project import PACKAGE_NAME, pipelines
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from circuit_distillation import grid
from circuit_distillation.parameters import ParameterError, Parameters, validate
from circuit_distillation.parameters.resolve import present_roles, resolve
from circuit_distillation.training.rows import ACTING

OF_AN_EXPERIMENT = ("head_mapping", "distillation")  # what comes after circuit discovery


class InvalidParameterError(KedroCliError):
    """A parameter that is unknown, mistyped or out of range."""


class ParameterHooks:
    """Check the merged parameters and choose the arms they ask for."""

    _parameters: Parameters  # from the moment when Kedro has read them

    @hook_impl(tryfirst=True)
    def after_context_created(self, context) -> None:
        """Refuse bad parameters with one line; then let the registry build the grid of this task."""
        try:
            parameters = _checked(context.config_loader)
        except ParameterError as error:
            raise InvalidParameterError(str(error)) from None
        self._parameters = parameters
        family = parameters.family
        models: dict[str, Any] = {"loaded": family.models is not None}
        models["instruct"] = family.instruct is not None
        models["acting"] = parameters.distillation.rows == ACTING
        models |= {"students": family.roles.students(), "student": parameters.student or ""}
        if grid.select(parameters.task, parameters.distillation.extra_arms, **models):
            pipelines.configure(f"{PACKAGE_NAME or 'circuit_distillation'}.pipeline_registry")

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline) -> None:
        """Refuse what only some pipelines cannot do with these parameters."""
        asked = self._parameters
        checks = {
            "params:search.training_seed": asked.check_search,
            "params:experiments": asked.check_experiments,
            "params:bundle": asked.check_arm,
        }
        try:
            for name in pipeline.inputs() & set(checks):
                checks[name]()
        except ValueError as error:
            raise InvalidParameterError(f"parameter {error}") from None


def _checked(loader) -> Parameters:
    """The parameters of the files, the preset of the experiment and the command, in this order of rank.

    The loader keeps them, with the settings of every arm resolved: YAML is slow to read, and everybody who
    asks later gets what was checked here.
    """
    given, defaults = loader.runtime_params or {}, loader["globals"]
    preset = _preset(loader, str(given.get("experiment", defaults["experiment"])))
    loader.runtime_params = OmegaConf.to_container(OmegaConf.merge(preset, given))
    raw = _read(loader, "parameters")
    parameters = validate(raw)
    family = defaults["family"]
    if parameters.family.name != family:
        raise ParameterError(
            f"parameter `family.name` = {parameters.family.name!r}: folders follow `family: {family}` of "
            "globals.yml; choose a family by its environment (--env)"
        )
    try:
        present = {"family": present_roles(raw["family"])}
        how = {"given": {"env": loader.env, "params": dict(given)}}
        loader["parameters"] = raw | present | resolve(parameters, given) | how
    except ValueError as error:
        raise ParameterError(f"parameter `distillation`: {error}") from None
    return parameters


def _preset(loader, experiment: str) -> dict[str, Any]:
    """The preset of an experiment; `ParameterError` if it changes what all experiments share."""
    preset = _read(loader, "experiments").get(experiment) or {}
    if shared := sorted(set(preset) - set(OF_AN_EXPERIMENT)):
        raise ParameterError(
            f"experiment `{experiment}` of experiments.yml sets `{shared[0]}`, which all experiments share: "
            f"a preset may set {' and '.join(OF_AN_EXPERIMENT)}"
        )
    return preset


def _read(loader, key: str) -> dict[str, Any]:
    """A group of configuration files; `ParameterError` with one line where they cannot be read or merged."""
    try:
        return loader[key]
    except MissingConfigException:
        raise
    except (OmegaConfBaseException, YAMLError, ValueError) as error:
        raise ParameterError(f"conf/ cannot be read: {' '.join(str(error).split())}") from None
