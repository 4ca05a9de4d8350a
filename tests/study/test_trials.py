"""A trial on a tiny student, and the names it may change."""

from __future__ import annotations

import pytest

from circuit_distillation.study.trials import split_changes


def test_changes_are_told_apart_and_others_refused():
    training, mapping = split_changes(
        {"learning_rate_heads": 1e-3, "rule": "cka", "fraction": 0.2, "rows": "all"}
    )
    assert training == {"learning_rate_heads": 1e-3, "rows": "all"} and mapping == {
        "rule": "cka",
        "fraction": 0.2,
    }
    with pytest.raises(ValueError, match="cannot change 'seed'"):
        split_changes({"seed": 3})
