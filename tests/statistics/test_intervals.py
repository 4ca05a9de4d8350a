from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from circuit_distillation.statistics.intervals import difference_interval, odds_ratio_interval


@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.9, 0.95]))
def test_odds_ratio_agrees_with_the_exact_binomial_interval(n01: int, n10: int, confidence: float) -> None:
    interval = odds_ratio_interval(n01, n10, confidence)
    if n01 + n10 == 0:
        assert np.isnan(interval.estimate) and (interval.low, interval.high) == (0, float("inf"))
        return
    low, high = proportion_confint(n01, n01 + n10, alpha=1 - confidence, method="beta")
    assert interval.low == pytest.approx(low / (1 - low) if low < 1 else float("inf"), rel=1e-9)
    assert interval.high == pytest.approx(high / (1 - high) if high < 1 else float("inf"), rel=1e-9)
    assert interval.low <= interval.estimate <= interval.high


def naive_bootstrap(
    values: list[float], groups: list[int], n_resamples: int, seed: int
) -> tuple[float, float]:
    """Draw scene by scene, pool their examples, take the mean; the same draws as the fast version."""
    names = sorted(set(groups))
    share = np.full(len(names), 1 / len(names))
    means = []
    for counts in np.random.default_rng(seed).multinomial(len(names), share, size=n_resamples):
        pooled = []
        for name, count in zip(names, counts, strict=True):
            for _ in range(count):
                pooled += [v for v, g in zip(values, groups, strict=True) if g == name]
        means.append(sum(pooled) / len(pooled))
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


rows = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 4)), min_size=1, max_size=20)


@settings(max_examples=30)
@given(rows)
def test_bootstrap_agrees_with_pooling_scenes(examples) -> None:
    a, b, groups = ([row[k] for row in examples] for k in range(3))
    gain = difference_interval(a, b, groups, n_resamples=40, seed=3)
    low, high = naive_bootstrap([float(y) - float(x) for x, y in zip(a, b, strict=True)], groups, 40, 3)
    assert (gain.low, gain.high) == pytest.approx((low, high), abs=1e-9)
    assert gain.estimate == pytest.approx(np.mean(b) - np.mean(a))


def test_scenes_that_move_together_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    scene = rng.random(100) < 0.6
    correct, groups = np.repeat(scene, 7), np.repeat(np.arange(100), 7)
    nothing = np.zeros(700, dtype=bool)
    clustered = difference_interval(nothing, correct, groups)
    alone = difference_interval(nothing, correct, np.arange(700))
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)


def test_groups_may_be_names_and_the_seed_counts() -> None:
    both, groups = ([False] * 4, [True, False, True, True]), ["x", "x", "y", "z"]
    assert difference_interval(*both, groups, seed=1) == difference_interval(*both, groups, seed=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: odds_ratio_interval(-1, 2), "negative"),
        (lambda: odds_ratio_interval(1, 2, confidence=1.0), "between 0 and 1"),
        (lambda: difference_interval([True], [False], ["a", "b"]), "2 groups for 1 examples"),
        (lambda: difference_interval([True], [True], ["a"], confidence=0.0), "between 0 and 1"),
        (lambda: difference_interval([2], [1], ["a"]), "true or false"),
        (lambda: difference_interval([True], [True, False], ["a"]), "got 1 and 2"),
    ],
)
def test_bad_input_says_what_to_do(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
