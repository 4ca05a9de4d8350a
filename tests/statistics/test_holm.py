from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from circuit_distillation.statistics.holm import holm


def naive_rejections(p_values: list[float], alpha: float) -> list[bool]:
    """Holm's procedure as it is described: from the smallest p-value on, until one is too large."""
    rejected = [False] * len(p_values)
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for step, i in enumerate(order):
        if p_values[i] > alpha / (len(p_values) - step):
            break
        rejected[i] = True
    return rejected


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 1000).map(lambda k: k / 1000), min_size=1, max_size=12),
    st.sampled_from([0.01, 0.05, 0.2]),
)
def test_adjusted_values_reject_what_the_procedure_rejects(p_values: list[float], alpha: float) -> None:
    adjusted = holm(p_values)
    away = np.abs(adjusted - alpha) > 1e-9  # at equality rounding decides
    assert (adjusted <= alpha)[away].tolist() == np.array(naive_rejections(p_values, alpha))[away].tolist()
    assert (adjusted >= np.array(p_values) - 1e-12).all() and (adjusted <= 1).all()


def test_a_case_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_statsmodels(seed: int) -> None:
    p_values = np.random.default_rng(seed).random(16) ** 3
    assert holm(p_values).tolist() == pytest.approx(
        multipletests(p_values, method="holm")[1].tolist(), abs=1e-12
    )


def test_no_tests_give_no_values() -> None:
    assert holm([]).shape == (0,)


@pytest.mark.parametrize("p_values", [[0.5, float("nan")], [1.5], [-0.1], [[0.1]]])
def test_bad_input_says_what_to_do(p_values) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm(p_values)
