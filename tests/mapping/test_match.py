from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuit_distillation.mapping.match import draw_heads, head_distances, match_heads

# Few distinct values, so that ties are common; multiples of 1/8, so that sums are exact.
impacts = st.integers(-8, 8).map(lambda k: k / 8)


def naive_nearest(student: list[float], teacher: list[float]) -> list[tuple[int, int]]:
    pairs = []
    for i, a in enumerate(student):
        best = 0
        for j, b in enumerate(teacher):
            if abs(a - b) < abs(a - teacher[best]):
                best = j
        pairs.append((i, best))
    return pairs


def naive_one_to_one(student: list[float], teacher: list[float]) -> list[tuple[int, int]]:
    def total(choice: tuple[int, ...]) -> float:
        return sum(abs(a - teacher[j]) for a, j in zip(student, choice, strict=True))

    # permutations come in lexicographic order and min keeps the first: the lowest teacher indices win
    return list(enumerate(min(permutations(range(len(teacher)), len(student)), key=total)))


@given(st.lists(impacts, min_size=1, max_size=8), st.lists(impacts, min_size=1, max_size=8))
def test_nearest_agrees_with_two_loops(student: list[float], teacher: list[float]) -> None:
    assert match_heads(student, teacher) == naive_nearest(student, teacher)


@settings(max_examples=60)
@given(st.lists(impacts, min_size=1, max_size=4), st.lists(impacts, min_size=4, max_size=6))
def test_one_to_one_agrees_with_all_permutations(student: list[float], teacher: list[float]) -> None:
    assert match_heads(student, teacher, "one_to_one") == naive_one_to_one(student, teacher)


@given(
    st.lists(impacts, min_size=1, max_size=6), st.lists(impacts, min_size=1, max_size=6), st.integers(0, 99)
)
def test_random_is_seeded_and_repeats_only_when_it_must(student, teacher, seed: int) -> None:
    pairs = match_heads(student, teacher, "random", seed=seed)
    assert pairs == match_heads(student, teacher, "random", seed=seed)
    assert [i for i, _ in pairs] == list(range(len(student)))
    heads = [j for _, j in pairs]
    assert set(heads) <= set(range(len(teacher)))
    assert len(set(heads)) == min(len(student), len(teacher))


def test_random_depends_on_the_seed() -> None:
    draws = {tuple(match_heads(np.zeros(4), np.zeros(30), "random", seed=seed)) for seed in range(8)}
    assert len(draws) > 1


def test_nearest_collapses_where_one_to_one_spreads() -> None:
    student, teacher = [0.2, 0.3, 0.4], [0.9, 0.8, 0.7]
    assert {j for _, j in match_heads(student, teacher)} == {2}
    assert sorted(j for _, j in match_heads(student, teacher, "one_to_one")) == [0, 1, 2]


def test_profile_picks_the_highest_correlation() -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(3, 40)), rng.normal(size=(5, 40))
    teacher[3], teacher[1] = 2 * student[0] + 1, -student[1]
    pairs = match_heads(np.zeros(3), np.zeros(5), "profile", features=(student, teacher))
    naive = [int(np.argmax([np.corrcoef(s, t)[0, 1] for t in teacher])) for s in student]
    assert [j for _, j in pairs] == naive
    assert naive[0] == 3 and naive[1] != 1
    distances = head_distances(np.zeros(3), np.zeros(5), "profile", features=(student, teacher))
    assert np.allclose(
        distances, [[1 - np.corrcoef(s, t)[0, 1] for t in teacher] for s in student], atol=1e-9
    )


def test_a_head_without_effect_correlates_with_none() -> None:
    features = (np.array([[1.0, 2.0, 4.0]]), np.array([[0.3, 0.3, 0.3], [-1.0, -2.0, -4.0]]))
    distances = head_distances([0.0], [0.0, 0.0], "profile", features=features)
    assert distances[0].tolist() == pytest.approx([1.0, 2.0])


def test_cka_picks_the_rotated_copy() -> None:
    rng = np.random.default_rng(1)
    student = [rng.normal(size=(30, 4)) for _ in range(2)]
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    teacher = [rng.normal(size=(30, 6)), 3 * student[1] @ rotation, student[0] @ rotation]
    features = (student, teacher)
    assert match_heads([0.0, 0.0], [0.0, 0.0, 0.0], "cka", features=features) == [(0, 2), (1, 1)]
    distances = head_distances([0.0, 0.0], [0.0, 0.0, 0.0], "cka", features=features)
    assert distances[0, 2] == pytest.approx(0, abs=1e-9)
    assert (distances[:, 0] > 0.1).all()


def looking_at(token: int) -> list[np.ndarray]:
    """One layout of four tokens, every row on one of them."""
    return [np.eye(4)[[token] * 4]]


def test_attention_profiles_pair_heads_that_look_at_the_same_tokens() -> None:
    student, teacher = [looking_at(1), looking_at(3), looking_at(0)], [looking_at(0), looking_at(1)]
    features, impacts = (student, teacher), (np.zeros(3), np.zeros(2))
    assert match_heads(*impacts, "attention_profile", features=features) == [(0, 1), (1, 0), (2, 0)]
    limited = match_heads(*impacts, "attention_profile", features=features, max_distance=0.5)
    assert limited == [(0, 1), (2, 0)]  # log 2 is too far
    assert match_heads([0.0], [5.0], max_distance=0.5) == [(0, 0)]  # other rules have no limit


def test_a_role_pairs_the_nearest_impact_of_a_shared_stage() -> None:
    fetcher, reader, both = frozenset("f"), frozenset("r"), frozenset("fr")
    student = [(0.5, fetcher), (0.5, reader), (0.5, frozenset()), (0.5, both), (0.5, frozenset("x"))]
    teacher = [(0.5, frozenset()), (0.9, fetcher), (0.4, fetcher), (0.1, reader)]
    impacts = [impact for impact, _ in student], [impact for impact, _ in teacher]
    pairs = match_heads(*impacts, "role", features=(student, teacher))
    assert pairs == [(0, 2), (1, 3), (3, 2)]
    distances = head_distances(*impacts, "role", features=(student, teacher))
    assert distances[1].tolist() == [np.inf, np.inf, np.inf, 0.4] and np.isinf(distances[2]).all()


def test_ancestry_pairs_a_head_with_its_ancestor() -> None:
    teacher = [(layer, head) for layer in range(2) for head in range(2)]
    features = ([(1, 0), None, (0, 1), (7, 7)], teacher)
    assert match_heads(np.zeros(4), np.zeros(4), "ancestry", features=features) == [(0, 2), (2, 1)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: match_heads([0.0], [0.0], "closest"),
            "nearest, one_to_one, profile, cka, attention_profile, role, ancestry",
        ),
        (lambda: match_heads([], [0.0]), "student_impact must be a vector"),
        (lambda: match_heads([0.0], [[0.0]]), "teacher_impact must be a vector"),
        (lambda: match_heads([float("nan")], [0.0]), "not finite"),
        (lambda: match_heads([0.0, 1.0], [0.0], "one_to_one"), "got 1 for 2"),
        (lambda: match_heads([0.0], [0.0], "profile"), "needs features"),
        (lambda: match_heads([0.0], [0.0], "cka", features=([], [])), "give one entry a head"),
        (lambda: match_heads([0.0], [0.0], "profile", features=([[1.0, 2.0]], [[1.0]])), "same examples"),
    ],
)
def test_bad_input_says_what_to_do(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_drawing_covers_every_head_before_it_repeats() -> None:
    drawn = draw_heads(7, 3, np.random.default_rng(0))
    assert sorted(drawn[:3]) == sorted(drawn[3:6]) == [0, 1, 2]
    assert len(drawn) == 7
