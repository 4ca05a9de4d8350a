from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuit_distillation.mapping.pairs import pairs_from_pools, random_pairs

heads = st.tuples(st.integers(0, 2), st.integers(0, 2))


@given(
    st.lists(heads, min_size=1, max_size=7, unique=True),
    st.lists(heads, min_size=1, max_size=6),
    st.data(),
    st.integers(0, 50),
)
def test_control_pairs_keep_the_students_and_avoid_the_aligned_head(students, pool, data, seed) -> None:
    aligned = [(s, data.draw(st.sampled_from(pool))) for s in students]
    pairs = random_pairs(aligned, pool, seed)
    assert pairs == random_pairs(aligned, pool, seed)
    assert [s for s, _ in pairs] == students
    assert {t for _, t in pairs} <= set(pool)
    if len(set(pool)) > 1:
        assert all(t != own for (_, t), (_, own) in zip(pairs, aligned, strict=True))


def test_without_repetition_as_long_as_the_pool_lasts() -> None:
    pool = [(1, h) for h in range(6)]
    aligned = [((0, h), (1, h)) for h in range(4)]
    for seed in range(20):
        assert len({t for _, t in random_pairs(aligned, pool, seed)}) == 4


def test_a_shared_teacher_head_is_replaced_where_swaps_cannot_help() -> None:
    aligned = [((0, h), (1, 0)) for h in range(2)]
    for seed in range(10):
        assert [t for _, t in random_pairs(aligned, [(1, 0), (1, 1)], seed)] == [(1, 1), (1, 1)]


def test_a_pool_of_the_aligned_head_alone_leaves_it() -> None:
    assert random_pairs([((0, 0), (1, 1))], [(1, 1)], 0) == [((0, 0), (1, 1))]


def test_seeds_differ() -> None:
    pool = [(layer, h) for layer in range(4) for h in range(8)]
    aligned = [((0, h), (1, h)) for h in range(4)]
    assert len({tuple(random_pairs(aligned, pool, seed)) for seed in range(5)}) > 1


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="no aligned pairs"):
        random_pairs([], [(0, 0)], 0)
    with pytest.raises(ValueError, match="no teacher heads"):
        random_pairs([((0, 0), (0, 0))], [], 0)


def test_pools_of_their_own_are_used_evenly() -> None:
    students, pools = [(0, h) for h in range(4)], [[(1, 0), (1, 1)], [(1, 1)], [], [(1, 0), (1, 1)]]
    seen = set()
    for seed in range(12):
        pairs = pairs_from_pools(students, pools, seed)
        assert pairs == pairs_from_pools(students, pools, seed)
        assert [s for s, _ in pairs] == [(0, 0), (0, 1), (0, 3)]  # nothing to draw for the third
        assert pairs[1][1] == (1, 1)
        seen.add((pairs[0][1], pairs[2][1]))
    # Whoever drew (1, 1) first leaves (1, 0) for the last.
    assert seen == {((1, 0), (1, 0)), ((1, 0), (1, 1)), ((1, 1), (1, 0))}
