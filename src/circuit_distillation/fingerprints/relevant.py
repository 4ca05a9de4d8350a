"""Which parameters count in the fingerprint of a node. Exceptions are listed only here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from circuit_distillation.tasks.task import TASKS

# These change speed, memory or device, but not the result.
SPEED = {"processes", "sharded", "max_workers", "checkpoint_every", "gradient_checkpointing"}
SPEED |= {"micro_batch_size", "device_map"}
NOT_OF_A_BLOCK = SPEED | {"extra_arms"}  # more arms do not change the others
NOT_OF_A_ROLE = {"label"}  # for a node that reads one role: labels are for tables
# For a node that reads all parameters: places of artifacts, and blocks that only other pipelines read.
NOT_OF_ALL = SPEED | {"extra_arms", "data_root", "experiments", "search", "sweeps", "machine", "held_out"}
NOT_OF_ALL |= {
    "student",
    "heads",
    "bundle",
    "given",
    "regimes",
    "chosen",
}  # its effect on this run is in `arms` and `mapping`


def parameters_read(
    inputs: Iterable[str], parameters: dict[str, Any], others: Collection[str]
) -> dict[str, Any]:
    """Dotted name -> value of every parameter that counts among a node's `inputs`.

    `parameters` are all of a run's. In every block what is under a name of `others`, tasks that do not count,
    is left out.
    """
    names = [name for name in inputs if name == "parameters" or name.startswith("params:")]
    values: dict[str, Any] = {}
    for path in (name.removeprefix("params:") for name in names):
        if path == "parameters":
            values |= dict(_flat(parameters, "", {*NOT_OF_ALL, *others}))
        elif path.rpartition(".")[2] not in SPEED:
            of_role = NOT_OF_A_ROLE if path.startswith("family.roles.") else set()
            values |= dict(_flat({path: _at(parameters, path)}, "", {*NOT_OF_A_BLOCK, *of_role, *others}))
    return values


def other_tasks(task: str) -> set[str]:
    """Names of the tasks that a run is not about."""
    return set(TASKS) - {task}


def _at(block: Any, path: str) -> Any:
    for key in path.split("."):
        block = block.get(key) if isinstance(block, dict) else None
    return block


def _flat(block: dict[str, Any], prefix: str, dropped: Collection[str]) -> Iterator[tuple[str, Any]]:
    for key, value in block.items():
        if key in dropped:
            continue
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.", dropped)
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value
