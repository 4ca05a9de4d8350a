"""Make the base models of the mini family."""

from __future__ import annotations

from typing import Any


def pretrain_bases(parameters: dict[str, Any], task: str, seed: int) -> tuple:
    """Base models small, medium, large, the record of their training, and the students' ancestry."""
    from circuit_distillation.training.family import pretrain_family, prune_family

    if parameters["students"] == "pruned":
        return prune_family(task, seed, parameters)
    return *pretrain_family(task, seed, parameters), {}  # trained apart, students have no ancestors
