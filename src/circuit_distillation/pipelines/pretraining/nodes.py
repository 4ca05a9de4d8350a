"""Train the base models of the mini family from scratch."""

from __future__ import annotations

from circuit_distillation.parameters.models import Pretraining


def pretrain_bases(parameters: Pretraining, task: str, seed: int) -> tuple:
    """Base models small, medium, large, and the record of their training."""
    from circuit_distillation.training.family import pretrain_family

    return pretrain_family(task, seed, getattr(parameters, task), parameters.max_workers)
