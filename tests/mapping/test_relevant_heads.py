from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuit_distillation.mapping.relevant_heads import discovered, top_impact


@given(st.integers(1, 5), st.integers(1, 8), st.integers(1, 100), st.integers(0, 2**31))
def test_top_impact_agrees_with_a_sorted_list(layers: int, heads: int, percent: int, seed: int) -> None:
    impact = np.random.default_rng(seed).integers(0, 5, size=(layers, heads)).astype(float)
    count = math.ceil(Fraction(percent, 100) * layers * heads)
    listed = sorted((-impact[layer, head], layer, head) for layer in range(layers) for head in range(heads))
    assert top_impact(impact, percent / 100) == sorted((layer, head) for _, layer, head in listed[:count])


def test_the_papers_fractions_on_the_mini_students() -> None:
    assert len(top_impact(np.random.default_rng(0).normal(size=(4, 8)), 0.11)) == 4
    assert len(top_impact(np.random.default_rng(0).normal(size=(6, 8)), 0.15)) == 8


@pytest.mark.parametrize(
    ("impact", "fraction", "message"),
    [
        ([1.0], 0.1, "layer, head"),
        ([[1.0]], 0.0, "lie in"),
        ([[1.0]], 1.1, "lie in"),
        ([[float("nan")]], 0.5, "finite"),
    ],
)
def test_bad_input_says_what_to_do(impact, fraction: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        top_impact(impact, fraction)


def test_discovered_heads_come_sorted_and_once() -> None:
    assert discovered({"heads": [[2, 1], [0, 3], [2, 1]]}) == [(0, 3), (2, 1)]
    with pytest.raises(ValueError, match="no heads"):
        discovered({"heads": []})
