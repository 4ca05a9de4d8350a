"""Circuits measured together against the same circuits measured one by one."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from naive.tiny_models import tiny_model

from circuit_distillation.circuits.cost import counted
from circuit_distillation.circuits.evaluation import circuits_outputs
from circuit_distillation.circuits.mean_ablation import head_means
from circuit_distillation.circuits.role_circuits import RoleCircuits, token_columns

N, T = 9, 14
IDS = torch.randint(1, 12, (N, T), generator=torch.Generator().manual_seed(1))
POSITIONS = {
    "last": torch.full((N,), T - 1),
    "label": torch.tensor([2, 5, 3, 4, 2, 6, 1, 0, 3]),
    "query": torch.full((N,), 10),
}
WHOLE = {"last": [(1, 0), (3, 2), (3, 3), (2, 1)], "label": [(0, 1), (1, 2)], "query": [(1, 1), (2, 1)]}


def without(*removed: tuple[str, tuple[int, int]]) -> dict[str, list[tuple[int, int]]]:
    return {role: [head for head in heads if (role, head) not in removed] for role, heads in WHOLE.items()}


ALL = [(role, head) for role, heads in WHOLE.items() for head in heads]
CIRCUITS = [without(*removed) for n in (0, 1, 2, len(ALL)) for removed in combinations(ALL, n)]


@pytest.mark.parametrize(("style", "megabytes"), [("qwen2", 1024), ("qwen3", 1024), ("qwen2", 0.01)])
def test_circuits_together_predict_what_each_predicts_alone(style, megabytes):
    model = tiny_model(style, n_layers=5)
    means = head_means(model, IDS.flip(0))
    alone = circuits_outputs(model, IDS, CIRCUITS, means, positions=POSITIONS).predictions
    together = RoleCircuits(model, IDS, WHOLE, means, POSITIONS, megabytes)
    assert torch.equal(together.top_tokens(CIRCUITS), alone)
    assert len(alone.unique(dim=0)) > 4  # the circuits do differ


def test_the_last_token_needs_no_role():
    model, positions = tiny_model(n_layers=4), {role: POSITIONS[role] for role in ("label", "query")}
    whole = {role: WHOLE[role] for role in positions}
    circuits = [whole, {"label": WHOLE["label"]}, {}]
    means = head_means(model, IDS)
    alone = circuits_outputs(model, IDS, circuits, means, positions=positions).predictions
    assert torch.equal(RoleCircuits(model, IDS, whole, means, positions).top_tokens(circuits), alone)


def test_together_they_cost_much_less():
    model = tiny_model(n_layers=4, vocab_size=12)
    means = head_means(model, IDS)
    with counted() as alone:
        circuits_outputs(model, IDS, CIRCUITS, means, positions=POSITIONS)
    with counted() as together:
        RoleCircuits(model, IDS, WHOLE, means, POSITIONS).top_tokens(CIRCUITS)
    assert together.macs < alone.macs / 3


def test_roles_that_share_a_token_or_change_their_order_are_refused():
    shared = POSITIONS | {"query": POSITIONS["last"]}
    crossed = POSITIONS | {"query": torch.tensor([1, 12] * 4 + [9])}
    for positions in (shared, crossed):
        assert token_columns(positions, T) is None
        with pytest.raises(ValueError, match="measure each circuit alone"):
            RoleCircuits(tiny_model(n_layers=4), IDS, WHOLE, torch.zeros(4, T, 4, 8), positions)
    with pytest.raises(ValueError, match="is no head of the whole circuit"):
        model = tiny_model(n_layers=4).double()
        RoleCircuits(model, IDS, WHOLE, head_means(model, IDS), POSITIONS).top_tokens([{"label": [(3, 0)]}])
