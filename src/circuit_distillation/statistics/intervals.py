"""Intervals: odds ratio of discordant pairs; paired difference, bootstrapped over scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

from circuit_distillation.statistics.mcnemar import as_correct


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its confidence interval."""

    estimate: float
    low: float
    high: float


def odds_ratio_interval(n01: int, n10: int, confidence: float = 0.95) -> Interval:
    """n01 / n10, the odds that b rather than a is right where they differ, with its exact interval.

    The Clopper-Pearson interval of n01 / (n01 + n10), carried over by p / (1 - p). The ends are 0 and
    infinity where a count is 0; without discordant pairs the ratio is not a number.
    """
    if n01 < 0 or n10 < 0:
        raise ValueError(f"counts of discordant pairs cannot be negative, got {n01} and {n10}")
    tail = (1 - _checked(confidence)) / 2
    low = _odds(float(beta.ppf(tail, n01, n10 + 1))) if n01 else 0.0
    high = _odds(float(beta.ppf(1 - tail, n01 + 1, n10))) if n10 else float("inf")
    if n01 + n10 == 0:
        return Interval(float("nan"), low, high)
    return Interval(n01 / n10 if n10 else float("inf"), low, high)


def difference_interval(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    groups: Sequence[Any],
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Accuracy of b minus accuracy of a on the same examples, with a percentile bootstrap interval.

    `groups` are scene ids [example]; whole scenes are drawn, since their queries hang together.
    """
    a, b = as_correct(correct_a, "correct_a"), as_correct(correct_b, "correct_b")
    if len(a) != len(b):
        raise ValueError(f"both models need the same examples in the same order, got {len(a)} and {len(b)}")
    values = b.astype(np.float64) - a.astype(np.float64)
    return _cluster_bootstrap(values, groups, confidence, n_resamples, seed)


def _cluster_bootstrap(
    values: NDArray[np.float64], groups: Sequence[Any], confidence: float, n_resamples: int, seed: int
) -> Interval:
    if len(groups) != len(values):
        raise ValueError(
            f"every example needs its group, got {len(groups)} groups for {len(values)} examples"
        )
    tail = (1 - _checked(confidence)) / 2
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    sums, sizes = np.bincount(group, weights=values), np.bincount(group)
    n_groups = len(sums)
    picks = np.random.default_rng(seed).multinomial(
        n_groups, np.full(n_groups, 1 / n_groups), size=n_resamples
    )
    means = (picks @ sums) / (picks @ sizes)  # [resample]
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(values.mean()), float(low), float(high))


def _checked(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence must lie between 0 and 1, got {confidence}")
    return confidence


def _odds(share: float) -> float:
    return share / (1 - share)
