"""Stages of heads, and heads of another function."""

from __future__ import annotations

from circuit_distillation.mapping.roles import other_roles, roles_of

CIRCUIT = {
    "heads": [[0, 0], [0, 1], [1, 0], [1, 1]],
    "stages": {"fetcher": [[1, 0]], "transmitter": [[0, 0]], "reader": [[0, 0], [0, 1]], "empty": []},
}
HEADS = [(0, 0), (0, 1), (1, 0), (1, 1)]
FAR = {(0, 0): 0.0, (0, 1): 0.3, (1, 0): 0.2, (1, 1): 0.3}


def test_roles_are_the_stages_that_found_a_head() -> None:
    fetcher, both, reader = (
        frozenset({"fetcher"}),
        frozenset({"transmitter", "reader"}),
        frozenset({"reader"}),
    )
    assert roles_of(CIRCUIT) == {(1, 0): fetcher, (0, 0): both, (0, 1): reader}


def test_one_stage_tells_no_heads_apart() -> None:
    assert roles_of({"heads": [[0, 0]], "stages": {"mean_ablation": [[0, 0]]}}) == {}
    assert roles_of({"heads": [[0, 0]]}) == {}


def test_other_roles_share_no_stage() -> None:
    roles = roles_of(CIRCUIT)
    assert other_roles((0, 0), HEADS, roles, FAR) == [(1, 0)]
    assert other_roles((1, 0), HEADS, roles, FAR) == [(0, 0), (0, 1)]


def test_without_stages_the_farthest_half_is_of_another_function() -> None:
    assert other_roles((0, 0), HEADS, {}, FAR) == [(0, 1), (1, 1)]
    assert other_roles((0, 0), HEADS[:3], {}, FAR) == [(0, 1)]
    assert other_roles((1, 1), HEADS, roles_of(CIRCUIT), FAR) == [(0, 1), (1, 0)]  # no stage found it
    same = {head: frozenset({"reader"}) for head in HEADS}
    assert other_roles((0, 0), HEADS, same, FAR) == [(0, 1), (1, 1)]


def test_a_head_is_never_its_own_other() -> None:
    assert other_roles((0, 0), [(0, 0)], {}, FAR) == []
    assert (0, 0) not in other_roles((0, 0), HEADS, {}, dict.fromkeys(HEADS, 0.0))
