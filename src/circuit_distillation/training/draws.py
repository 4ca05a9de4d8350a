"""Which training prompts a run draws: training seeds are disjoint blocks of one training split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

# Orders of families and of training seeds never meet: order seed = family seed + this x training seed.
ORDER_STRIDE = 1000


def training_block(examples: Sequence[T], n_train: int, training_seed: int) -> Sequence[T]:
    """The `n_train` examples of training seed 0, 1, ...: one after the other in the split, so never shared.

    ValueError if the split ends before the block does.
    """
    start = training_seed * n_train
    block = examples[start : start + n_train]
    if len(block) < n_train:
        raise ValueError(
            f"the training split has {len(examples)} prompts, training seed {training_seed} with "
            f"distillation.n_train = {n_train} needs {start + n_train}: raise data_generation.groups"
        )
    return block


def draw_name(experiment: str, training_seed: int) -> str:
    """Name of an experiment under a training seed, in folders and rows: its own for training seed 0.

    No experiment can have such a name by itself: names hold no dot.
    """
    return f"{experiment}.training{training_seed}" if int(training_seed) else experiment


def order_seed(seed: int, training_seed: int) -> int:
    """Seed of the order of the data: the family's own for training seed 0."""
    return seed + ORDER_STRIDE * training_seed
