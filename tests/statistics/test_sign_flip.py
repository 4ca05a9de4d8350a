"""The sign-flip test against values worked out by hand, and its properties."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuit_distillation.statistics.sign_flip import detectable_effect, sign_flip_test

whole_numbers = st.lists(st.integers(-20, 20), min_size=1, max_size=8)


def naive(values: list[float]) -> float:
    """Every pattern of signs, one after the other."""
    sums = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True)))
        for signs in product((1, -1), repeat=len(values))
    ]
    return sum(total >= abs(sum(values)) for total in sums) / len(sums)


def test_values_by_hand():
    assert sign_flip_test([1, 2, 4]) == 2 / 8  # only +++ and --- reach 7
    assert sign_flip_test([-1, 2, 4]) == 4 / 8  # |5|, |7|, each twice
    assert sign_flip_test([3.0, -3.0]) == 1.0


def test_nine_runs_can_pass_and_five_cannot():
    assert sign_flip_test([0.01] * 9) == pytest.approx(2 / 512)
    assert sign_flip_test([0.01] * 5) == pytest.approx(2 / 32)


@given(whole_numbers)
@settings(max_examples=60, deadline=None)
def test_agrees_with_every_pattern_counted(values):
    assert sign_flip_test(values) == naive(values)


@given(whole_numbers, st.randoms())
@settings(max_examples=40, deadline=None)
def test_neither_order_nor_direction_nor_scale_matter(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    p = sign_flip_test(values)
    assert sign_flip_test(shuffled) == p == sign_flip_test([-3 * value for value in values])


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], [0.1] * 21, [1.0, np.nan]])
def test_bad_input(values):
    with pytest.raises(ValueError):
        sign_flip_test(values)


def test_detectable_effect_is_where_all_nine_signs_agree():
    values = np.array([0.02, -0.01, 0.0, 0.01, 0.03, -0.02, 0.01, 0.0, 0.02])
    # At 0.0045 only nine equal signs pass: the power is Phi(effect / spread)^9, 0.8 at 1.97 spreads.
    assert detectable_effect(values, 0.05 / 11, n_simulated=4000) == pytest.approx(
        1.97 * values.std(ddof=1), rel=0.05
    )
    assert detectable_effect(values, 0.05) < detectable_effect(values, 0.05 / 11)
    assert detectable_effect(values[:5], 0.05) == np.inf
    assert detectable_effect([0.1] * 9, 0.05) == 0.0
