"""What a run for what is missing would do, node by node, and why.

A node is fresh if all it makes is stored and was made of the parameters, inputs and code of now. One that is
not runs, and so does all that follows from what it makes. A cache is refilled only for a node that runs. What
is stored without a fingerprint is taken as it is, unless an input with one was made after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from circuit_distillation.fingerprints.artifacts import Artifact, artifact_of, content
from circuit_distillation.fingerprints.code import code_version
from circuit_distillation.fingerprints.record import Made, differences, read_record
from circuit_distillation.fingerprints.relevant import other_tasks, parameters_read

FRESH, UNKNOWN, MISSING, STALE, FOLLOWS = "fresh", "taken as is", "missing", "stale", "follows"


class Verdict(NamedTuple):
    """About one node: one of the states above, and the reasons."""

    state: str
    reasons: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether the node would run."""
        return self.state in (MISSING, STALE, FOLLOWS)


class Planner:
    """Judges the nodes of a pipeline, given in an order in which they can run.

    `catalog` gives datasets by name; `told` is everything that the run is told, as plain values.
    """

    def __init__(self, nodes: Iterable[Any], catalog: Any, told: dict[str, Any]) -> None:
        self.catalog, self._told = catalog, told
        self._makers = {name: node for node in nodes for name in node.outputs}
        self._verdicts: dict[str, Verdict] = {}
        self.nodes = list(nodes)

    def verdicts(self) -> dict[str, Verdict]:
        """Node name -> verdict."""
        for node in self.nodes:
            self._verdicts[node.name] = self._verdict(node)
        for node in filter(self._fills_cache, self.nodes):
            self._spare(node)
        return self._verdicts

    def made(self, node: Any) -> Made:
        """What the outputs of a node follow from now.

        A cache counts as filled by its node, if that is among the nodes, else as what lies in it.
        """
        inputs = {name: self._identity(name) for name in node.inputs if self._counts(name)}
        others = set() if self._is_of_all_runs(node) else other_tasks(self._told["task"])
        parameters = parameters_read(node.inputs, self._told, others)
        return Made(parameters, inputs, code_version(node.func, others))

    def _verdict(self, node: Any) -> Verdict:
        if not node.outputs:
            return Verdict(MISSING, ("it stores nothing",))
        if missing := [name for name in node.outputs if not self.catalog.exists(name)]:
            return Verdict(MISSING, (f"{missing[0]} is missing",))
        if above := self._rebuilt_above(node):
            return Verdict(FOLLOWS, (f"from {above[0]}",))
        return self._compared(node)

    def _compared(self, node: Any) -> Verdict:
        artifacts = [artifact for name in node.outputs if (artifact := self._artifact(name))]
        records = [read_record(artifact) for artifact in artifacts]
        known = [record for record in records if record is not None]
        if known:
            now = self.made(node)
            reasons = [reason for record in known for reason in differences(record.made, now)]
            if reasons:
                return Verdict(STALE, tuple(dict.fromkeys(reasons)))
        for artifact, record in zip(artifacts, records, strict=True):
            if record is None and (newer := self._newer_input(node, artifact)):
                return Verdict(STALE, (f"{newer} was made after it",))
        return Verdict(FRESH if len(known) == len(artifacts) else UNKNOWN)

    def _newer_input(self, node: Any, artifact: Artifact) -> str | None:
        for name in filter(self._counts, node.inputs):
            of_input = self._artifact(name)
            record = read_record(of_input) if of_input and not of_input.is_cache else None
            if record is not None and record.at > artifact.changed_at():
                return name
        return None

    def _rebuilt_above(self, node: Any) -> list[str]:
        """Inputs that will be made anew; of a cache, what it is filled from."""
        above = []
        for name in node.inputs:
            maker = self._makers.get(name)
            if maker is not None and self._fills_cache(maker):
                above += self._rebuilt_above(maker)
            elif maker is not None and self._verdicts[maker.name].runs:
                above.append(name)
        return above

    def _spare(self, node: Any) -> None:
        """A cache that no node about to run reads is left as it is."""
        readers = (other for other in self.nodes if set(node.outputs) & set(other.inputs))
        if not any(self._verdicts[reader.name].runs for reader in readers):
            self._verdicts[node.name] = Verdict(FRESH, ("a cache that nothing needs now",))

    def _fills_cache(self, node: Any) -> bool:
        return bool(node.outputs) and all(
            (artifact := self._artifact(name)) is not None and artifact.is_cache for name in node.outputs
        )

    def _is_of_all_runs(self, node: Any) -> bool:
        """Whether a node reads what every run left, of every task."""
        artifacts = map(self._artifact, filter(self._counts, node.inputs))
        return any(artifact is not None and artifact.is_of_all_runs for artifact in artifacts)

    def _counts(self, name: str) -> bool:
        """Whether an input is an artifact, and none that is never whole."""
        return not is_parameter(name) and not getattr(self.catalog.get(name), "is_scratch", False)

    def _identity(self, name: str) -> str | None:
        artifact = self._artifact(name)
        if artifact is None:
            return None
        if not artifact.is_cache:
            return content(artifact)
        if maker := self._makers.get(name):
            return self.made(maker).fingerprint()
        record = read_record(artifact)
        return record.made.fingerprint() if record else None

    def _artifact(self, name: str) -> Artifact | None:
        return artifact_of(self.catalog.get(name))


def is_parameter(name: str) -> bool:
    """Whether an input of a node is a parameter and no artifact."""
    return name == "parameters" or name.startswith("params:")
