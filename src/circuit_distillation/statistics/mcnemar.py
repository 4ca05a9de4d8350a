"""McNemar's exact test of two models on the same examples (appendix A.1 of the paper)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom


@dataclass(frozen=True)
class McNemar:
    """The discordant counts and the exact test: under no difference, n01 is Binomial(n01 + n10, 1/2)."""

    n01: int  # a wrong, b right
    n10: int  # a right, b wrong
    n: int  # all examples, concordant ones included
    statistic: int  # the smaller of n01 and n10
    p_value: float  # exact, two-sided


def mcnemar_test(correct_a: ArrayLike, correct_b: ArrayLike) -> McNemar:
    """Exact two-sided McNemar test; p is 1 where the models never disagree.

    `correct_a` and `correct_b` are [example], true where the model is right, on the same examples in the
    same order.
    """
    a, b = as_correct(correct_a, "correct_a"), as_correct(correct_b, "correct_b")
    if len(a) != len(b):
        raise ValueError(f"both models need the same examples in the same order, got {len(a)} and {len(b)}")
    n01, n10 = int((~a & b).sum()), int((a & ~b).sum())
    smaller = min(n01, n10)
    # Twice the lower tail counts the middle outcome twice when n01 equals n10: at most 1.
    p_value = min(1.0, 2.0 * float(binom.cdf(smaller, n01 + n10, 0.5)))
    return McNemar(n01=n01, n10=n10, n=len(a), statistic=smaller, p_value=p_value)


def as_correct(values: ArrayLike, name: str) -> NDArray[np.bool_]:
    """`values` as booleans [example]; ValueError for anything but 0 and 1, and for no examples at all."""
    array = np.asarray(values)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"{name} must be a vector with one entry an example, got shape {array.shape}")
    if not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name} must hold true or false (1 or 0) for every example, found other values")
    return array.astype(bool)
