"""What an artifact was made of, in a small file beside it: `.fingerprints/{name}.json`."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from circuit_distillation.fingerprints.artifacts import Artifact, content

FOLDER = ".fingerprints"


class Made(NamedTuple):
    """Everything that an artifact follows from; seed, task, experiment and family are in its path.

    `parameters` are dotted names with values, `inputs` dataset names with a digest each (None: unknown),
    `code` modules with a digest each.
    """

    parameters: dict[str, Any]
    inputs: dict[str, str | None]
    code: dict[str, str]

    def fingerprint(self) -> str:
        """One digest of it all."""
        text = json.dumps(self._asdict(), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Record(NamedTuple):
    """What was written when an artifact was made, at `at` (seconds since the epoch)."""

    made: Made
    at: float


def record_path(artifact: Artifact) -> Path:
    """Where the record of an artifact is."""
    name = f"{artifact.path.name}.{artifact.scope}" if artifact.scope else artifact.path.name
    return artifact.path.parent / FOLDER / f"{name}.json"


def write_record(artifact: Artifact, made: Made, node: str) -> None:
    """Write down what an artifact was made of, once it is stored; whole or not at all."""
    path = record_path(artifact)
    path.parent.mkdir(parents=True, exist_ok=True)
    of = content(artifact) if artifact.is_own else None
    record = {"fingerprint": made.fingerprint(), "node": node, "of": of, "at": time.time(), **made._asdict()}
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(record, indent=1, default=str))
    os.replace(beside, path)


def read_record(artifact: Artifact) -> Record | None:
    """The record; None where there is none, or where another content has taken the artifact's place since."""
    try:
        record = json.loads(record_path(artifact).read_text())
        made = Made(record["parameters"], record["inputs"], record["code"])
        if artifact.is_own and record["of"] != content(artifact):
            return None
        return Record(made, float(record["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def differences(before: Made, now: Made) -> Iterator[str]:
    """In a few words each: parameters with both values, changed inputs, changed modules."""
    absent = "absent"
    for name in sorted(before.parameters | now.parameters):
        old, new = (made.parameters.get(name, absent) for made in (before, now))
        if json.dumps(old, default=str) != json.dumps(new, default=str):
            yield f"{name} {_shown(old)} -> {_shown(new)}"
    for name in sorted(before.inputs | now.inputs):
        if name not in now.inputs or name not in before.inputs:
            yield f"{name} is {'not read any more' if name in before.inputs else 'read now'}"
        elif before.inputs[name] != now.inputs[name]:
            yield f"{name} has changed"
    modules = [name for name in sorted(before.code | now.code) if before.code.get(name) != now.code.get(name)]
    if modules:
        more = f" and {len(modules) - 2} more" if len(modules) > 2 else ""
        yield f"code of {', '.join(modules[:2])}{more}"


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."
