"""Make the base models of the mini family."""

from __future__ import annotations

from circuit_distillation import grid
from circuit_distillation.parameters.models import Pretraining


def pretrain_bases(parameters: Pretraining, task: str, seed: int) -> tuple:
    """The base models of all roles, the record of their training, and the students' ancestry."""
    from circuit_distillation.training.family import pretrain_family, prune_family

    settings, roles = getattr(parameters, task), grid.roles()
    if parameters.students == "pruned":
        return prune_family(task, seed, settings, roles)
    # Students that are trained apart have no ancestors.
    return *pretrain_family(task, seed, settings, roles, parameters.max_workers), {}
