"""Folders with models, which parameters name: what is in them counts, as does what is in other inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

BLOCKS = ("family.models", "family.instruct")


def models_read(inputs: Iterable[str], parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Parameter and folder of every model that a node with these inputs reads from a folder.

    Models of the hub are not among them: they are named with a commit.
    """
    for block in (block for block in BLOCKS if f"params:{block}" in inputs):
        models = parameters["family"].get(block.partition(".")[2]) or {}
        for role, files in models.items():
            if files.get("path") is not None:
                yield f"{block}.{role}", files["path"]


def model_digest(path: str) -> str | None:
    """A digest of weights, configuration and tokenizer; None if the folder is gone or incomplete."""
    from circuit_distillation.models.source import ModelSource

    try:
        identity = ModelSource(path=path).identity()
    except (OSError, ValueError):
        return None
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
