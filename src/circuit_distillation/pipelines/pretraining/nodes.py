"""Make the base models of the mini family."""

from __future__ import annotations

from circuit_distillation.parameters.models import Pretraining


def pretrain_bases(parameters: Pretraining, task: str, seed: int) -> tuple:
    """Base models small, medium, large, the record of their training, and the students' ancestry."""
    from circuit_distillation.training.family import pretrain_family, prune_family

    settings = getattr(parameters, task)
    if parameters.students == "pruned":
        return prune_family(task, seed, settings)
    # Students that are trained apart have no ancestors.
    return *pretrain_family(task, seed, settings, parameters.max_workers), {}
