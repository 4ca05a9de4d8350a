"""Which nodes have to run, and why.

A node is fresh if all its outputs are stored and were made of the current parameters, inputs and code. If
not, and another experiment has equal artifacts, these are taken. Otherwise the node runs, and nodes that
depend on its outputs follow. A cache is refilled only if a node that reads it runs. Outputs without a
fingerprint are used as they are, unless an input with a fingerprint is newer.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

from circuit_distillation.fingerprints.artifacts import Artifact, artifact_of, content
from circuit_distillation.fingerprints.code import code_version
from circuit_distillation.fingerprints.model_folders import model_digest, models_read
from circuit_distillation.fingerprints.record import Made, differences, read_record
from circuit_distillation.fingerprints.relevant import other_tasks, parameters_read
from circuit_distillation.fingerprints.twins import find_twins, folders_of

FRESH, UNKNOWN, TAKEN = "fresh", "taken as is", "taken"
MISSING, STALE, FOLLOWS = "missing", "stale", "follows"


class Verdict(NamedTuple):
    """About one node: one of the states above, the reasons, for `TAKEN` the equal artifact of each output."""

    state: str
    reasons: tuple[str, ...] = ()
    twins: dict[str, Artifact] = {}

    @property
    def runs(self) -> bool:
        """Whether the node would run."""
        return self.state in (MISSING, STALE, FOLLOWS)


class Planner:
    """Judges the nodes of a pipeline, given in an order in which they can run.

    `catalog` gives datasets by name, among them `parameters`: all of the run's, as plain values.
    """

    def __init__(self, nodes: Iterable[Any], catalog: Any) -> None:
        self.nodes, self.catalog = list(nodes), catalog
        self._parameters = catalog.load("parameters")
        self._folders = folders_of(self._parameters)
        self._artifact = cache(lambda name: artifact_of(catalog.get(name)))
        self._model = cache(model_digest)
        self._makers = {name: node for node in self.nodes for name in node.outputs}
        self._verdicts: dict[str, Verdict] = {}

    def verdicts(self) -> dict[str, Verdict]:
        """Node name -> verdict, before any node has run."""
        for node in self.nodes:
            self._verdicts[node.name] = self.judge(node)
        for node in filter(self.fills_cache, self.nodes):
            self._spare(node)
        return dict(self._verdicts)

    def judge(self, node: Any) -> Verdict:
        """The verdict about a node; the nodes above it must be judged or settled already."""
        if not node.outputs:
            return Verdict(MISSING, ("it stores nothing",))
        missing = tuple(f"{name} is missing" for name in node.outputs if not self.catalog.exists(name))
        if above := self._rebuilt_above(node):
            return Verdict(MISSING, missing[:1]) if missing else Verdict(FOLLOWS, (f"from {above[0]}",))
        made = self.made(node)
        verdict = Verdict(MISSING, missing[:1]) if missing else self._compared(node, made)
        if verdict.runs and (found := find_twins(self._artifacts(node), self._folders, made)):
            return Verdict(TAKEN, (f"from experiment {found[0]}",), found[1])
        return verdict

    def settle(self, node: Any) -> None:
        """Note that the outputs of the node are now stored and up to date."""
        self._verdicts[node.name] = Verdict(FRESH)

    def made(self, node: Any) -> Made:
        """What the outputs of a node would be made of now.

        A folder with a model that the parameters name counts as an input.
        A cache counts by what its node would fill it with, or by its content if its node is not here.
        """
        inputs = {name: self._identity(name) for name in node.inputs if self._counts(name)}
        inputs |= {name: self._model(path) for name, path in models_read(node.inputs, self._parameters)}
        others = set() if self._is_of_all_runs(node) else other_tasks(self._parameters["task"])
        return Made(parameters_read(node.inputs, self._parameters, others), inputs, code_version(node.func))

    def fills_cache(self, node: Any) -> bool:
        """Whether a node makes caches alone."""
        artifacts = self._artifacts(node).values()
        return bool(node.outputs) and all(artifact and artifact.is_cache for artifact in artifacts)

    def fillers(self, node: Any) -> list[Any]:
        """The nodes that fill the caches which a node reads."""
        return [
            maker for name in node.inputs if (maker := self._makers.get(name)) and self.fills_cache(maker)
        ]

    def _compared(self, node: Any, made: Made) -> Verdict:
        artifacts = [artifact for artifact in self._artifacts(node).values() if artifact]
        records = [read_record(artifact) for artifact in artifacts]
        known = [record for record in records if record is not None]
        if reasons := [reason for record in known for reason in differences(record.made, made)]:
            return Verdict(STALE, tuple(dict.fromkeys(reasons)))
        for artifact, record in zip(artifacts, records, strict=True):
            if record is None and (newer := self._newer_input(node, artifact)):
                return Verdict(STALE, (f"{newer} was made after it",))
        return Verdict(FRESH if len(known) == len(artifacts) else UNKNOWN)

    def _newer_input(self, node: Any, artifact: Artifact) -> str | None:
        for name in filter(self._counts, node.inputs):
            if self._is_taken(name):
                return name
            of_input = self._artifact(name)
            record = read_record(of_input) if of_input and not of_input.is_cache else None
            if record is not None and record.at > artifact.changed_at():
                return name
        return None

    def _rebuilt_above(self, node: Any) -> list[str]:
        """Inputs that will be made again; for a cache, the inputs that it is filled from."""
        above = []
        for name in node.inputs:
            maker = self._makers.get(name)
            if maker is not None and self.fills_cache(maker):
                above += self._rebuilt_above(maker)
            elif maker is not None and self._verdicts[maker.name].runs:
                above.append(name)
        return above

    def _spare(self, node: Any) -> None:
        """Leave a cache as it is if no node that will run reads it."""
        readers = (other for other in self.nodes if set(node.outputs) & set(other.inputs))
        if not any(self._verdicts[reader.name].runs for reader in readers):
            self._verdicts[node.name] = Verdict(FRESH, ("a cache that nothing needs now",))

    def _is_taken(self, name: str) -> bool:
        maker = self._makers.get(name)
        return maker is not None and name in self._verdicts.get(maker.name, Verdict(UNKNOWN)).twins

    def _is_of_all_runs(self, node: Any) -> bool:
        """Whether a node reads the files of all runs, of every task."""
        artifacts = map(self._artifact, filter(self._counts, node.inputs))
        return any(artifact is not None and artifact.is_of_all_runs for artifact in artifacts)

    def _counts(self, name: str) -> bool:
        """Whether an input counts: artifacts do, parameters and scratch folders do not."""
        return not is_parameter(name) and not getattr(self.catalog.get(name), "is_scratch", False)

    def _identity(self, name: str) -> str | None:
        artifact, maker = self._artifact(name), self._makers.get(name)
        if artifact is None:
            return None
        if maker is not None and self._is_taken(name):
            return content(self._verdicts[maker.name].twins[name])
        if not artifact.is_cache:
            return content(artifact)
        if maker is not None:
            return self.made(maker).fingerprint()
        record = read_record(artifact)
        return record.made.fingerprint() if record else None

    def _artifacts(self, node: Any) -> dict[str, Artifact | None]:
        return {name: self._artifact(name) for name in node.outputs}


def is_parameter(name: str) -> bool:
    """Whether an input of a node is a parameter and no artifact."""
    return name == "parameters" or name.startswith("params:")
