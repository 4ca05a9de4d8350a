"""The bootstrap of a study against a loop that does the same, and in cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from circuit_distillation.statistics.intervals import difference_interval
from circuit_distillation.statistics.nested_bootstrap import Family, first, nested_interval, ratio


def family(seed: int, n_runs: int = 3, n_scenes: int = 20, components: int = 1, shift: float = 0.0) -> Family:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, size=n_scenes)
    return Family(rng.random((components, n_runs, n_scenes)) * sizes + shift * sizes, sizes)


def test_the_estimate_is_the_mean_over_runs():
    families = [family(0), family(1, n_runs=2)]
    runs = np.concatenate([part.values(first) for part in families])
    assert len(runs) == 5
    assert nested_interval(families, n_resamples=10).estimate == pytest.approx(runs.mean())


def test_a_ratio_is_taken_in_every_run():
    parts = [family(0, components=2), family(1, components=2)]
    by_hand = [
        part.sums[0, run].sum() / part.sums[1, run].sum()
        for part in parts
        for run in range(part.sums.shape[1])
    ]
    assert nested_interval(parts, ratio, n_resamples=10).estimate == pytest.approx(np.mean(by_hand))


def test_spread_of_resamples_agrees_with_a_plain_loop():
    families, rng = [family(0), family(1, shift=0.2), family(2, shift=-0.1)], np.random.default_rng(5)
    means = []
    for _ in range(3000):
        drawn = []
        for part in (families[k] for k in rng.integers(3, size=3)):
            runs = rng.integers(3, size=3)
            scenes = rng.integers(20, size=20)
            drawn.append(part.sums[0][runs][:, scenes].sum(1).mean() / part.sizes[scenes].sum())
        means.append(np.mean(drawn))
    low, high = np.quantile(means, [0.025, 0.975])
    interval = nested_interval(families, n_resamples=3000)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.015)


def test_with_one_run_only_scenes_are_left_and_it_is_the_scene_bootstrap():
    correct = np.random.default_rng(0).random(300) < 0.7
    scenes = np.repeat(np.arange(60), 5)
    sums = np.bincount(scenes, weights=correct)[None, None]
    nested = nested_interval([Family(sums, np.full(60, 5))], scenes_only=True)
    plain = difference_interval(np.zeros(300), correct, scenes.tolist())
    assert nested.estimate == pytest.approx(plain.estimate)
    assert (nested.low, nested.high) == pytest.approx((plain.low, plain.high), abs=0.01)


def test_drawing_families_widens_the_interval():
    families = [family(k, shift=0.3 * k) for k in range(3)]
    whole, scenes = nested_interval(families), nested_interval(families, scenes_only=True)
    assert whole.high - whole.low > 2 * (scenes.high - scenes.low)


def test_bad_input():
    with pytest.raises(ValueError, match="at least one family"):
        nested_interval([])
    with pytest.raises(ValueError, match="sizes of its scenes"):
        Family(np.zeros((1, 2, 3)), np.ones(4))
