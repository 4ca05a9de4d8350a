"""Splits that share no scene and no story, compared by their text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from circuit_distillation.ranges import Count, Strict

from .example import Content, Example
from .task import Task


class SplitSizes(Strict):
    """Scenes or stories a split."""

    train: Count
    discovery: Count
    means: Count
    mapping: Count
    validation: Count
    test: Count


SPLITS = tuple(SplitSizes.model_fields)


def make_splits(task: Task, sizes: Mapping[str, int], seed: int) -> dict[str, list[Example]]:
    """Splits of the given numbers of scenes or stories.

    Each split draws from its own random stream, set by `seed` and its name, and passes over what an earlier
    split holds: growing one split leaves the others as they are. ValueError if a size is not positive, if the
    task has too few scenes, or if two splits share one all the same.
    """
    small = [name for name, n_groups in sizes.items() if n_groups < 1]
    if small:
        raise ValueError(f"Split '{small[0]}' has {sizes[small[0]]} scenes: give at least 1.")
    taken: set[Content] = set()
    splits = {}
    for name, n_groups in sizes.items():
        splits[name] = task.generate(n_groups, f"{seed} {name}", taken)
        taken |= _contents(task, splits[name])
    check_disjoint(task, splits)
    return splits


def check_disjoint(task: Task, splits: Mapping[str, Sequence[Example]]) -> None:
    """ValueError, naming both splits and the scene, if two splits tell the same one in whatever order."""
    contents = {name: _contents(task, examples) for name, examples in splits.items()}
    for first, second in combinations(contents, 2):
        shared = contents[first] & contents[second]
        if shared:
            scene = ", ".join(min(shared))
            raise ValueError(f"Splits '{first}' and '{second}' share the scene '{scene}': make them again.")


def _contents(task: Task, examples: Sequence[Example]) -> set[Content]:
    one_a_group = {example.group_id: example for example in examples}
    return {task.content(example) for example in one_a_group.values()}
