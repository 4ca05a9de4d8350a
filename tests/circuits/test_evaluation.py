from __future__ import annotations

import pytest
import torch
from naive.ablation import naive_circuit_logits, naive_last_logits, naive_means
from naive.tiny_models import STYLES, tiny_model, tiny_prompts

from circuit_distillation.circuits.evaluation import (
    circuit_predictions,
    circuits_outputs,
)

N, T = 6, 9
ANSWERS = torch.tensor([3, 17, 39, 0, 8, 8])
CANDIDATES = torch.stack((ANSWERS, (ANSWERS + 1) % 40, (ANSWERS + 5) % 40), dim=1)
LENGTHS = {"unpadded": torch.full((N,), T), "padded": torch.tensor([9, 7, 9, 9, 7, 9])}
EVERY = [(layer, head) for layer in range(3) for head in range(4)]


def _ids() -> torch.Tensor:
    ids = tiny_prompts(N, T)
    for twin, first in ((2, 0), (3, 0), (4, 1)):
        ids[twin, :6] = ids[first, :6]
    return ids


def _mask(lengths: torch.Tensor) -> torch.Tensor:
    return (torch.arange(T) < lengths[:, None]).long()


def _means(model: torch.nn.Module) -> torch.Tensor:
    return naive_means(model, tiny_prompts(8, T, 5), torch.full((8,), T))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("lengths", LENGTHS)
def test_equals_one_hooked_forward_a_circuit(style: str, lengths: str) -> None:
    model, ids, sizes = tiny_model(style), _ids(), LENGTHS[lengths]
    means = _means(model)
    masks = (
        torch.rand(8, 3, 4, generator=torch.Generator().manual_seed(0))
        < torch.linspace(0, 1, 8)[:, None, None]
    )
    found = circuits_outputs(
        model, ids, masks, means, attention_mask=_mask(sizes), answer_ids=ANSWERS, candidate_ids=CANDIDATES
    )
    for index, mask in enumerate(masks):
        logits = naive_circuit_logits(model, ids, sizes, means, mask[:, None, None].expand(3, N, T, 4))
        assert torch.equal(found.predictions[index], logits.argmax(-1))
        best = logits.gather(1, CANDIDATES).argmax(1, keepdim=True)
        assert torch.equal(found.candidate_predictions[index], CANDIDATES.gather(1, best)[:, 0])
        expected = logits.log_softmax(-1)[torch.arange(N), ANSWERS]
        torch.testing.assert_close(found.log_prob[index], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_heads_kept_at_positions_only(lengths: str) -> None:
    model, ids, sizes = tiny_model(), _ids(), LENGTHS[lengths]
    means, varying = _means(model), torch.tensor([3, 4, 5, 3, 6, 3])
    circuit = {"last": [(2, 1), (0, 3)], "label": [(0, 0), (1, 2)], 2: [(0, 1), (2, 2)]}
    places = {"last": sizes - 1, "label": varying, 2: torch.full((N,), 2)}
    kept = torch.zeros(3, N, T, 4, dtype=torch.bool)
    for name, heads in circuit.items():
        for layer, head in heads:
            kept[layer, torch.arange(N), places[name], head] = True
    logits = naive_circuit_logits(model, ids, sizes, means, kept)
    options = {"attention_mask": _mask(sizes), "positions": {"last": -1, "label": varying}}
    found = circuits_outputs(model, ids, [circuit], means, answer_ids=ANSWERS, **options)
    expected = logits.log_softmax(-1)[torch.arange(N), ANSWERS]
    torch.testing.assert_close(found.log_prob[0], expected, rtol=0, atol=1e-9)
    assert torch.equal(circuit_predictions(model, ids, circuit, means, **options), logits.argmax(-1))


@pytest.mark.parametrize("style", STYLES)
def test_all_heads_are_the_full_model_and_none_are_the_means(style: str) -> None:
    model, ids = tiny_model(style), _ids()
    means = _means(model)
    full = naive_last_logits(model, ids, LENGTHS["unpadded"]).log_softmax(-1)[torch.arange(N), ANSWERS]
    empty = naive_circuit_logits(
        model, ids, LENGTHS["unpadded"], means, torch.zeros(3, N, T, 4, dtype=torch.bool)
    )
    found = circuits_outputs(
        model, ids, [EVERY, {t: EVERY for t in range(T)}, []], means, answer_ids=ANSWERS
    ).log_prob
    torch.testing.assert_close(found[0], full, rtol=0, atol=1e-9)
    torch.testing.assert_close(found[1], full, rtol=0, atol=1e-9)
    torch.testing.assert_close(found[2], empty.log_softmax(-1)[torch.arange(N), ANSWERS], rtol=0, atol=1e-9)


def test_small_memory_budgets_give_the_same_outputs() -> None:
    model, ids = tiny_model(), _ids()
    circuits = [[(0, 1), (2, 2)], {-1: [(2, 1)], 3: [(0, 0)]}]
    expected = circuits_outputs(model, ids, circuits, _means(model), answer_ids=ANSWERS)
    found = circuits_outputs(model, ids, circuits, _means(model), answer_ids=ANSWERS, memory_budget_mb=0.01)
    torch.testing.assert_close(found.log_prob, expected.log_prob, rtol=0, atol=1e-11)


def test_arguments_that_do_not_fit_are_refused() -> None:
    model, ids = tiny_model(), _ids()
    means = _means(model)
    with pytest.raises(ValueError, match="outside"):
        circuit_predictions(model, ids, [(3, 0)], means)
    with pytest.raises(ValueError, match="'query' is not in positions"):
        circuit_predictions(model, ids, {"query": [(0, 0)]}, means)
    with pytest.raises(ValueError, match="outside some prompt"):
        circuit_predictions(model, ids, {9: [(0, 0)]}, means)
    with pytest.raises(ValueError, match="means cover"):
        circuit_predictions(model, ids, [(0, 0)], means[:, :5])
    with pytest.raises(ValueError, match="bool"):
        circuits_outputs(model, ids, torch.zeros(1, 3, 4), means)
    with pytest.raises(ValueError, match="answer_ids has 2 rows"):
        circuits_outputs(model, ids, [[]], means, answer_ids=ANSWERS[:2])
