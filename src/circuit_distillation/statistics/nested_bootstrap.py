"""Intervals for a study: a bootstrap over families, training seeds within them, and scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuit_distillation.statistics.intervals import Interval

Combine = Callable[[NDArray], NDArray]  # means [component, ...] -> statistic [...]


@dataclass(frozen=True)
class Family:
    """What one family measured, summed over a scene's examples: `sums` [component, training seed, scene].

    `sizes` [scene] are numbers of examples. Training seeds share the scenes: they have one test split.
    """

    sums: NDArray
    sizes: NDArray

    def __post_init__(self) -> None:
        if self.sums.ndim != 3 or self.sums.shape[2:] != self.sizes.shape or not (self.sizes > 0).all():
            raise ValueError(
                "a family needs sums [component, training seed, scene] and sizes of its scenes, got shapes "
                f"{self.sums.shape} and {self.sizes.shape}"
            )

    def values(self, combine: Combine) -> NDArray:
        """The statistic of each training seed."""
        return combine(self.sums.sum(axis=2) / self.sizes.sum())


def first(means: NDArray) -> NDArray:
    """The statistic that is the only component itself."""
    return means[0]


def ratio(means: NDArray) -> NDArray:
    """The first component over the second."""
    return means[0] / means[1]


def nested_interval(
    families: Sequence[Family],
    combine: Combine = first,
    *,
    scenes_only: bool = False,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean of the statistic over runs, with a percentile bootstrap interval.

    A resample draws families, for each drawn one its training seeds, and its scenes (the same for all of its
    training seeds), with replacement. `scenes_only` keeps all runs and draws scenes alone: the uncertainty
    that is left if these runs are the only ones of interest.
    """
    if not families:
        raise ValueError("an interval needs at least one family")
    estimate = float(np.concatenate([family.values(combine) for family in families]).mean())
    rng, n = np.random.default_rng(seed), len(families)
    chosen = np.tile(np.arange(n), (n_resamples, 1))
    if not scenes_only:
        chosen = rng.integers(n, size=(n_resamples, n))
    drawn, weight = np.zeros(n_resamples), np.zeros(n_resamples)
    for index, family in enumerate(families):
        resample, _ = np.nonzero(chosen == index)
        runs = family.sums.shape[1]  # a family with more runs counts for more, as in the estimate
        np.add.at(drawn, resample, runs * _redrawn(family, combine, len(resample), scenes_only, rng))
        np.add.at(weight, resample, runs)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn / weight, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high))


def _redrawn(
    family: Family, combine: Combine, n: int, scenes_only: bool, rng: np.random.Generator
) -> NDArray:
    """The family's mean statistic in `n` resamples of its training seeds and scenes, [n]."""
    _, n_runs, n_scenes = family.sums.shape
    scenes = rng.multinomial(n_scenes, np.full(n_scenes, 1 / n_scenes), size=n)  # [n, scene]
    means = family.sums @ scenes.T / (scenes @ family.sizes)  # [component, run, n]
    by_run = combine(means)  # [run, n]
    if scenes_only:
        return by_run.mean(axis=0)
    runs = rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=n)  # [n, run]
    return (by_run.T * runs).sum(axis=1) / n_runs
