"""The exact sign-flip test of paired differences over runs, and the smallest effect that it can detect."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_RUNS = 20  # 2^20 sign patterns
_TIE = 1e-12  # relative: sums this close are the same, whatever the order of the additions


def sign_flip_test(differences: ArrayLike) -> float:
    """Two-sided p: the share of sign patterns whose |sum| is at least the observed one.

    Under the null each run's difference is as likely to have the other sign. With n runs p is at least
    2 / 2^n: nine runs reach 0.0039, five only 0.0625. `differences` are [run]; ValueError for none, for more
    than 20, and for values that are not finite.
    """
    values = _checked(differences)
    sums = np.abs(_patterns(len(values)) @ values)
    return float((sums >= np.abs(values.sum()) - _TIE * np.abs(values).sum()).mean())


def detectable_effect(
    differences: ArrayLike, alpha: float, *, power: float = 0.8, n_simulated: int = 400, seed: int = 0
) -> float:
    """The least true difference that reaches p <= alpha in a share `power` of studies like this one.

    Studies are simulated with as many runs and the observed spread (normal). Infinite where no outcome at all
    can reach alpha, since 2 / 2^n is above it; 0 without spread.
    """
    values = _checked(differences)
    if 2 / 2 ** len(values) > alpha:
        return float("inf")
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return _detectable_spreads(len(values), alpha, power, n_simulated, seed) * spread


@cache
def _detectable_spreads(n: int, alpha: float, power: float, n_simulated: int, seed: int) -> float:
    """The detectable effect in units of the spread over runs, by bisection."""
    patterns, noise = _patterns(n), np.random.default_rng(seed).normal(size=(n_simulated, n))

    def reached(effect: float) -> float:
        simulated = noise + effect
        observed = np.abs(simulated.sum(axis=1, keepdims=True)) - _TIE * np.abs(simulated).sum(
            axis=1, keepdims=True
        )
        return float(((np.abs(simulated @ patterns.T) >= observed).mean(axis=1) <= alpha).mean())

    low, high = 0.0, 16.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) >= power else (middle, high)
    return high


def _patterns(n: int) -> NDArray[np.float64]:
    """Every pattern of n signs, [2^n, n]."""
    bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    return 1.0 - 2.0 * bits.astype(np.float64)


def _checked(differences: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not 1 <= len(values) <= MAX_RUNS:
        raise ValueError(f"the sign-flip test takes 1 to {MAX_RUNS} differences, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("a difference is not a finite number: a run is missing or broken")
    return values
