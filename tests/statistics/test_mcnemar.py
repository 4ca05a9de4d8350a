from __future__ import annotations

from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar

from circuit_distillation.statistics.mcnemar import mcnemar_test

outcomes = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80)


def naive(a: list[bool], b: list[bool]) -> tuple[int, int, float]:
    n01 = sum(1 for x, y in zip(a, b, strict=True) if not x and y)
    n10 = sum(1 for x, y in zip(a, b, strict=True) if x and not y)
    n = n01 + n10
    # Every split of the disagreements that is no more likely than the one seen.
    p = sum(comb(n, k) for k in range(n + 1) if comb(n, k) <= comb(n, n01)) / 2**n
    return n01, n10, p


@given(outcomes)
def test_agrees_with_the_sum_over_all_splits_and_with_statsmodels(pairs: list[tuple[bool, bool]]) -> None:
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    test = mcnemar_test(a, b)
    n01, n10, p = naive(a, b)
    assert (test.n01, test.n10, test.n, test.statistic) == (n01, n10, len(pairs), min(n01, n10))
    assert test.p_value == pytest.approx(p, abs=1e-9)
    both = np.array([[0, n01], [n10, 0]])
    assert test.p_value == pytest.approx(float(mcnemar(both, exact=True).pvalue), abs=1e-9)


@given(outcomes)
def test_swapping_the_models_swaps_the_counts(pairs: list[tuple[bool, bool]]) -> None:
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    one, other = mcnemar_test(a, b), mcnemar_test(b, a)
    assert (one.n01, one.n10, one.p_value) == (other.n10, other.n01, other.p_value)


def test_no_disagreement_gives_p_1() -> None:
    assert mcnemar_test([True, False], [True, False]).p_value == 1.0


def test_a_clear_case_by_hand() -> None:
    a, b = [False] * 10 + [True], [True] * 10 + [True]
    test = mcnemar_test(a, b)
    assert (test.n01, test.n10) == (10, 0)
    assert test.p_value == pytest.approx(2 / 2**10)


def test_tensors_and_thousands_of_examples() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(6000, generator=generator) < 0.7, torch.rand(6000, generator=generator) < 0.75
    test = mcnemar_test(a, b)
    counts = [[0, test.n01], [test.n10, 0]]
    assert test.p_value == pytest.approx(float(mcnemar(counts, exact=True).pvalue), rel=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([], [], "one entry an example"),
        ([True], [True, False], "same order, got 1 and 2"),
        ([0.5], [1], "true or false"),
        ([float("nan")], [1], "true or false"),
        ([[True]], [[True]], "shape"),
    ],
)
def test_bad_input_says_what_to_do(a, b, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mcnemar_test(a, b)
