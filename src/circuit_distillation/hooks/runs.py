"""Two runs at once on one data folder: the second is told if they would meet; leftovers are cleaned."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from kedro.framework.cli.utils import KedroCliError
from kedro.framework.hooks import hook_impl

from circuit_distillation.hooks.live_runs import BusyError, LiveRun, enter, remove_leftovers
from circuit_distillation.hooks.waiting import waiting_nodes

logger = logging.getLogger(__name__)
SHARED = "/08_reporting/"  # files that all runs add to, each under a lock of its own


class ConcurrentRunError(KedroCliError):
    """Another run is at work on the same files."""


class RunHooks:
    """Enter each run in its data folder while it works."""

    def __init__(self) -> None:
        self._live: LiveRun | None = None
        self._root, self._what = Path(), ""

    @hook_impl
    def after_context_created(self, context) -> None:
        """Note the data folder and the name of the run; the parameters have been checked by now."""
        parameters = context.config_loader["parameters"]
        self._root = Path(context.project_path) / parameters["data_root"]
        self._what = ", ".join(f"{key}={parameters[key]}" for key in ("task", "seed", "experiment"))

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params, pipeline, catalog) -> None:
        """Raise one clear error if another run is at work on the same files; else clean and begin."""
        self._leave()  # of an earlier run in this process that another hook refused
        nodes = waiting_nodes(run_params, pipeline, catalog)
        reads = _paths((name for node in nodes for name in node.inputs), catalog)
        writes = _paths((name for node in nodes for name in node.outputs), catalog)
        own = {path for path in writes if SHARED not in path}
        if not writes:
            return
        try:
            self._live = enter(self._root, self._what, {path for path in reads if SHARED not in path}, own)
        except BusyError as error:
            raise ConcurrentRunError(str(error)) from None
        cleaned = remove_leftovers(Path(path) for path in (writes if self._live.alone else own))
        if cleaned:
            logger.info("removed %d unfinished file(s) that a killed run had left", len(cleaned))

    @hook_impl
    def after_pipeline_run(self) -> None:
        """The run is over."""
        self._leave()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """The run has failed."""
        self._leave()

    def _leave(self) -> None:
        if self._live is not None:
            self._live.leave()
            self._live = None


def _paths(names: Iterable[str], catalog) -> set[str]:
    """Where datasets are stored, of a shared file also the part of this run; parameters have no place."""
    stored = (name for name in set(names) if name != "parameters" and not name.startswith("params:"))
    datasets = (catalog.get(name) for name in stored)
    places = (getattr(dataset, name, None) for dataset in datasets for name in ("_filepath", "_own"))
    return {str(place) for place in places if place is not None}
