"""Fingerprints of artifacts: written when one is saved, compared when a run is for what is missing."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines

from circuit_distillation.fingerprints.artifacts import artifact_of
from circuit_distillation.fingerprints.plan import FOLLOWS, MISSING, STALE, UNKNOWN, Planner, Verdict
from circuit_distillation.fingerprints.record import Made, write_record

logger = logging.getLogger(__name__)


class FingerprintHooks:
    """Let Kedro see what is stale as missing; write down what each artifact was made of."""

    def __init__(self) -> None:
        self._told: dict[str, Any] = {}
        self._made: dict[str, Made] = {}
        self._catalog: Any = None

    @hook_impl
    def after_context_created(self, context) -> None:
        """Note what the run is told; the parameters have been checked by now."""
        self._told = context.config_loader["parameters"]

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, run_params, pipeline, catalog) -> None:
        """Choose the nodes of a run for what is missing; else warn if it would build on what is stale.

        Comes before all other checks, which ask the catalog what exists.
        """
        self._catalog, self._made = catalog, {}
        if run_params.get("only_missing_outputs"):
            verdicts = Planner(pipeline.nodes, catalog, self._told).verdicts()
            _show_to_runner(pipeline.nodes, verdicts, catalog)
            _log(verdicts)
        self._warn_of_stale_inputs(pipeline, catalog)

    @hook_impl
    def before_dataset_loaded(self, node) -> None:
        """Note what the node is about to be given: rows that another run adds from now on do not count."""
        if self._told and node.name not in self._made:  # told of nothing: a spawned worker
            self._made[node.name] = Planner([node], self._catalog, self._told).made(node)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node) -> None:
        """Write the fingerprint of an artifact that is whole."""
        if node.name in self._made:
            artifact = artifact_of(self._catalog.get(dataset_name))
            if artifact is not None:
                write_record(artifact, self._made[node.name], node.name)

    def _warn_of_stale_inputs(self, pipeline, catalog) -> None:
        """Inputs that another pipeline makes, which would make them anew now."""
        makers = {name: node for node in pipelines["__default__"].nodes for name in node.outputs}
        read = pipeline.inputs() & set(makers)
        if not read:
            return
        verdicts = Planner(pipelines["__default__"].nodes, catalog, self._told).verdicts()
        old = sorted(name for name in read if verdicts[makers[name].name].state in (STALE, FOLLOWS))
        if old:
            logger.warning(
                "%d input(s) are stale, such as %s: `kedro status` says why; "
                "`kedro run --only-missing-outputs` makes them anew",
                len(old),
                old[0],
            )


def _show_to_runner(nodes, verdicts: dict[str, Verdict], catalog) -> None:
    """Kedro runs the nodes that lack an output: say of each output whether its node is to run."""
    for node in nodes:
        exists = _absent if verdicts[node.name].runs else _present
        for name in node.outputs:
            catalog.get(name)._exists = exists


def _absent() -> bool:
    return False


def _present() -> bool:
    return True


def _log(verdicts: dict[str, Verdict]) -> None:
    """A line about what runs and why, and one about artifacts without fingerprints."""
    count = Counter(verdict.state for verdict in verdicts.values())
    stale = next((name for name, verdict in verdicts.items() if verdict.state == STALE), None)
    if count[MISSING] or stale:
        text = f"{count[MISSING]} node(s) lack outputs, {count[STALE]} are stale, {count[FOLLOWS]} follow"
        logger.info("%s%s", text, f"; {stale}: {'; '.join(verdicts[stale].reasons[:2])}" if stale else "")
    if count[UNKNOWN]:
        text = "outputs of %d node(s) carry no fingerprint and are taken as they are"
        logger.info(text, count[UNKNOWN])
