"""Before any work: refuse a run that cannot work, in one line; then reserve its files."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kedro.framework.cli.utils import KedroCliError
from kedro.framework.hooks import hook_impl

from circuit_distillation.fingerprints.plan import TAKEN, Planner, is_parameter
from circuit_distillation.hooks.artifacts import check_inputs, warn_of_stale_inputs
from circuit_distillation.hooks.live_runs import BusyError, LiveRun, enter
from circuit_distillation.hooks.models import check_models
from circuit_distillation.storage.atomic import remove_leftovers

logger = logging.getLogger(__name__)
RUNNER = "circuit_distillation.runner.ArtifactRunner"
SHARED = "/08_reporting/"  # files that all runs add to, each under a lock of its own


class ConcurrentRunError(KedroCliError):
    """Another run uses the same files."""


class UnsupportedOptionError(KedroCliError):
    """An option of Kedro that cannot work here."""


class RunHooks:
    """Check what a run needs, and enter it in its data folder while it works."""

    def __init__(self) -> None:
        self._live: LiveRun | None = None
        self._parameters: dict[str, Any] = {}
        self._project = Path()

    @hook_impl
    def after_context_created(self, context) -> None:
        """Note the parameters, which have been checked by now."""
        self._parameters, self._project = context.config_loader["parameters"], Path(context.project_path)

    @hook_impl
    def after_catalog_created(self, catalog) -> None:
        """Let `parameters` be plain values, whichever blocks of them Kedro has made models for the nodes."""
        catalog.save("parameters", self._parameters)

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params, pipeline, catalog) -> None:
        """Raise one clear error if the run cannot work; else clean and begin."""
        self._leave()  # of an earlier run in this process that another hook refused
        _check_options(run_params)
        running, makes = _planned(run_params, pipeline, catalog)
        check_models(running, pipeline, catalog)
        check_inputs(running, makes, run_params, catalog)
        warn_of_stale_inputs(pipeline, catalog)
        self._enter(
            _paths((name for node in running for name in node.inputs), catalog), _paths(makes, catalog)
        )

    @hook_impl
    def after_pipeline_run(self) -> None:
        """The run is over."""
        self._leave()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """The run has failed."""
        self._leave()

    def _enter(self, reads: set[str], writes: set[str]) -> None:
        if not writes:
            return
        root = self._project / self._parameters["data_root"]
        what = ", ".join(f"{key}={self._parameters[key]}" for key in ("task", "seed", "experiment"))
        own = {path for path in writes if SHARED not in path}
        try:
            self._live = enter(root, what, {path for path in reads if SHARED not in path}, own)
        except BusyError as error:
            raise ConcurrentRunError(str(error)) from None
        cleaned = remove_leftovers(Path(path) for path in (writes if self._live.alone else own))
        if cleaned:
            logger.info("removed %d unfinished file(s) that a killed run had left", len(cleaned))

    def _leave(self) -> None:
        if self._live is not None:
            self._live.leave()
            self._live = None


def _check_options(run_params) -> None:
    if not run_params["runner"].startswith(f"<{RUNNER}"):
        runner = run_params["runner"].lstrip("<").partition(" ")[0]
        raise UnsupportedOptionError(
            f"runner {runner}: nodes run one after the other here, by {RUNNER}; leave out --runner. "
            "The parameters `processes` and `max_workers` share out the work of a node. In Python give "
            "session.run(runner=ArtifactRunner())"
        )
    if run_params["load_versions"]:
        raise UnsupportedOptionError(
            "--load-versions: nothing here is versioned; artifacts of other settings are kept apart by seed, "
            "experiment and data_root"
        )


def _planned(run_params, pipeline, catalog) -> tuple[list[Any], set[str]]:
    """The nodes that a run is expected to execute, and the names of all datasets that it will write."""
    if not run_params["only_missing_outputs"]:
        return pipeline.nodes, pipeline.all_outputs()
    planner = Planner(pipeline.nodes, catalog)
    verdicts = planner.verdicts()
    running = [node for node in planner.nodes if verdicts[node.name].runs]
    taken = [node for node in planner.nodes if verdicts[node.name].state == TAKEN]
    return running, {name for node in running + taken for name in node.outputs}


def _paths(names: Iterable[str], catalog) -> set[str]:
    """Where datasets are stored, of a shared file also the part of this run; parameters have no place."""
    datasets = (catalog.get(name) for name in set(names) if not is_parameter(name))
    places = (getattr(dataset, name, None) for dataset in datasets for name in ("_filepath", "_own"))
    return {str(place) for place in places if place is not None}
