"""The runner of this project: nodes one by one, with `--only-missing-outputs` only those that must run."""

from __future__ import annotations

import logging
from collections import Counter
from itertools import chain
from typing import Any

from kedro.runner import SequentialRunner
from kedro.runner.task import Task

from circuit_distillation.fingerprints.artifacts import artifact_of
from circuit_distillation.fingerprints.code import code_version
from circuit_distillation.fingerprints.plan import FOLLOWS, MISSING, STALE, TAKEN, UNKNOWN, Planner, Verdict
from circuit_distillation.fingerprints.record import write_record
from circuit_distillation.fingerprints.twins import take

logger = logging.getLogger(__name__)


class ArtifactRunner(SequentialRunner):
    """Runs nodes one by one, and records what each artifact was made of.

    With `--only-missing-outputs` each node is judged at its turn, by the content of its inputs. It runs only
    if its outputs are absent or were made of something else, and no other experiment has equal ones. A node
    that fills a cache runs only if a node that reads the cache does.
    """

    def __init__(self, is_async: bool = False) -> None:
        """ValueError for `is_async`: models cannot be loaded by several threads at once."""
        if is_async:
            raise ValueError("models cannot be loaded asynchronously: leave out --async and is_async")
        super().__init__()
        self._only_missing = False

    def __str__(self) -> str:
        """Names Kedro's runner too: by that text Kedro-Viz knows whose events it can follow."""
        return f"<{__name__}.ArtifactRunner, as kedro.runner.sequential_runner.SequentialRunner object>"

    def run(self, pipeline, catalog, hook_manager=None, run_id=None, only_missing_outputs=False):
        """Run a pipeline; which nodes have to run is decided at their turn, not here."""
        self._only_missing = only_missing_outputs
        return super().run(pipeline, catalog, hook_manager, run_id)

    def _run(self, pipeline, catalog, hook_manager=None, run_id=None) -> None:
        planner = Planner(pipeline.nodes, catalog)
        for node in pipeline.nodes:  # read now: a source that is edited during the run is not what runs
            code_version(node.func)
        if self._only_missing:
            _log(planner.verdicts())
        loads = Counter(chain.from_iterable(node.inputs for node in pipeline.nodes))
        for node in pipeline.nodes:
            for due in self._due(node, planner) if self._only_missing else [node]:
                made = planner.made(due)
                Task(due, catalog, is_async=False, hook_manager=hook_manager, run_id=run_id).execute()
                _record(due, planner, made)
                logger.info("Completed node: %s", due.name)
            self._release_datasets(node, catalog, loads, pipeline)

    def _due(self, node, planner: Planner) -> list[Any]:
        """The node if it has to run, after the nodes that fill its caches; else nothing."""
        if planner.fills_cache(node):
            return []
        verdict = planner.judge(node)
        if verdict.runs or verdict.state == TAKEN and not _is_taken(node, planner, verdict):
            return [*(filler for filler in planner.fillers(node) if planner.judge(filler).runs), node]
        planner.settle(node)
        return []


def _is_taken(node, planner: Planner, verdict: Verdict) -> bool:
    """Take the artifacts of another experiment; False if one of them turns out to be broken."""
    made = planner.made(node)
    pairs = ((artifact_of(planner.catalog.get(name)), twin) for name, twin in verdict.twins.items())
    if not all(artifact is not None and take(artifact, twin, made) for artifact, twin in pairs):
        return False
    _record(node, planner, made)
    logger.info("%s: taken %s", node.name, verdict.reasons[0])
    return True


def _record(node, planner: Planner, made) -> None:
    """Record what the artifacts of a node were made of, once they are whole."""
    for name in node.outputs:
        if artifact := artifact_of(planner.catalog.get(name)):
            write_record(artifact, made, node.name)
    planner.settle(node)


def _log(verdicts: dict[str, Verdict]) -> None:
    """A line about what is expected to run and why, and one about artifacts without fingerprints."""
    count = Counter(verdict.state for verdict in verdicts.values())
    stale = next((name for name, verdict in verdicts.items() if verdict.state == STALE), None)
    logger.info(
        "of %d node(s) %d lack outputs, %d are stale, %d follow, %d can be taken from another experiment%s",
        len(verdicts),
        *(count[state] for state in (MISSING, STALE, FOLLOWS, TAKEN)),
        f"; {stale}: {'; '.join(verdicts[stale].reasons[:2])}" if stale else "",
    )
    if count[UNKNOWN]:
        logger.info("outputs of %d node(s) have no fingerprint and are used as they are", count[UNKNOWN])
