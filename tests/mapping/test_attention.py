"""The distance of attention profiles, against two loops over rows and tokens."""

from __future__ import annotations

import math

import numpy as np
import pytest

from circuit_distillation.mapping.attention import check_layouts, head_profiles, js_distances


def profiles(seed: int, n_heads: int, tokens: dict[str, int]) -> dict[str, np.ndarray]:
    """Rows over the tokens up to each query, as float32 like those that are stored."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, n in tokens.items():
        rows = np.tril(rng.random((2, n_heads, n, n)) + 1e-3)
        found[name] = (rows / rows.sum(-1, keepdims=True)).astype(np.float32)
    return found


def naive_js(p: np.ndarray, q: np.ndarray) -> float:
    def kl(a, b) -> float:
        return sum(x * math.log(x / y) for x, y in zip(map(float, a), map(float, b)) if x > 0)

    rows = [(kl(a, (a + b) / 2) + kl(b, (a + b) / 2)) / 2 for a, b in zip(p, q, strict=True)]
    return sum(rows) / len(rows)


def test_distances_agree_with_loops_over_heads_and_rows() -> None:
    tokens = {"short": 3, "long": 6}
    student, teacher = profiles(0, 2, tokens), profiles(1, 3, tokens)
    ours, theirs = [(0, 1), (1, 0)], [(1, 2), (0, 0), (1, 1)]
    found = js_distances(head_profiles(student, ours), head_profiles(teacher, theirs))
    naive = [
        [
            np.mean(
                [naive_js(student[name][a].astype(float), teacher[name][b].astype(float)) for name in tokens]
            )
            for b in theirs
        ]
        for a in ours
    ]
    np.testing.assert_allclose(found, naive, atol=1e-12)


def test_distances_run_from_0_to_log_2() -> None:
    same = np.eye(3)[None, None]
    elsewhere = np.roll(same, 1, axis=-1)
    of = [head_profiles({"a": rows}, [(0, 0)])[0] for rows in (same, elsewhere)]
    np.testing.assert_allclose(js_distances(of, of), [[0, math.log(2)], [math.log(2), 0]], atol=1e-12)


def test_profiles_of_other_layouts_are_refused() -> None:
    check_layouts(profiles(0, 2, {"a": 3}), profiles(1, 4, {"a": 3}))
    for others in ({"a": 4}, {"b": 3}, {"a": 3, "b": 3}):
        with pytest.raises(ValueError, match="make both on one split, with one tokenizer"):
            check_layouts(profiles(0, 2, {"a": 3}), profiles(1, 2, others))
