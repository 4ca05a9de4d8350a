from __future__ import annotations

import pytest
import torch
from naive.ablation import (
    naive_head_effects,
    naive_head_logits,
    naive_last_logits,
    naive_logit_diffs,
    naive_means,
)
from naive.tiny_models import STYLES, tiny_model, tiny_prompts

from circuit_distillation.circuits.mean_ablation import head_effects, head_means
from circuit_distillation.circuits.progress import Bar

N, T = 6, 9
ANSWERS = torch.tensor([3, 17, 39, 0, 8, 8])
LENGTHS = {"unpadded": torch.full((N,), T), "padded": torch.tensor([9, 7, 9, 9, 7, 9])}


def _scenes() -> torch.Tensor:
    """Prompts 0, 2, 3 share six tokens, 1 and 4 too; 5 is alone."""
    ids = tiny_prompts(N, T)
    for twin, first in ((2, 0), (3, 0), (4, 1)):
        ids[twin, :6] = ids[first, :6]
    return ids


def _mask(lengths: torch.Tensor) -> torch.Tensor:
    return (torch.arange(T) < lengths[:, None]).long()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("lengths", LENGTHS)
def test_means_average_the_prompts_that_reach_a_position(style: str, lengths: str) -> None:
    model, ids, sizes = tiny_model(style), tiny_prompts(N, T), LENGTHS[lengths]
    found = head_means(model, ids, attention_mask=_mask(sizes), batch_size=4)
    torch.testing.assert_close(found, naive_means(model, ids, sizes), rtol=0, atol=1e-12)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("positions", ["everywhere", "last", "two"])
def test_equals_one_hooked_forward_a_head(style: str, lengths: str, shared: bool, positions: str) -> None:
    model, sizes = tiny_model(style), LENGTHS[lengths]
    ids = _scenes() if shared else tiny_prompts(N, T)
    means = naive_means(model, tiny_prompts(8, T, 5), torch.full((8,), T))
    varying = torch.tensor([3, 4, 0, 3, 6, 3])
    ablated, asked = {
        "everywhere": (torch.ones(N, T, dtype=torch.bool), None),
        "last": (torch.arange(T) == sizes[:, None] - 1, [-1]),
        "two": (
            (torch.arange(T) == sizes[:, None] - 2) | (torch.arange(T) == varying[:, None]),
            [varying, -2],
        ),
    }[positions]
    log_probs, tops = naive_head_effects(model, ids, ANSWERS, means, sizes, ablated)
    base = naive_last_logits(model, ids, sizes)
    found = head_effects(model, ids, ANSWERS, means, attention_mask=_mask(sizes), positions=asked)
    assert (log_probs - base.log_softmax(-1)[torch.arange(N), ANSWERS]).abs().max() > 1e-3
    torch.testing.assert_close(found.log_prob, log_probs, rtol=0, atol=1e-9)
    assert torch.equal(found.correct, tops == ANSWERS)
    torch.testing.assert_close(
        found.base_log_prob, base.log_softmax(-1)[torch.arange(N), ANSWERS], rtol=0, atol=1e-9
    )
    assert torch.equal(found.base_correct, base.argmax(-1) == ANSWERS)


# The answer is in another column each time, or missing (example 4); examples name a token twice.
CANDIDATES = torch.tensor([[3, 5, 7], [2, 17, 9], [8, 8, 39], [1, 0, 0], [4, 30, 12], [8, 3, 8]])


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("positions", [None, [-1]])
def test_logit_differences_equal_the_hooked_ones(lengths: str, shared: bool, positions: list | None) -> None:
    model, sizes = tiny_model(), LENGTHS[lengths]
    ids = _scenes() if shared else tiny_prompts(N, T)
    means = naive_means(model, tiny_prompts(8, T, 5), torch.full((8,), T))
    everywhere = torch.ones(N, T, dtype=torch.bool)
    ablated = everywhere if positions is None else torch.arange(T) == sizes[:, None] - 1
    expected = naive_logit_diffs(naive_head_logits(model, ids, means, sizes, ablated), ANSWERS, CANDIDATES)
    base = naive_logit_diffs(naive_last_logits(model, ids, sizes), ANSWERS, CANDIDATES)
    options = {"attention_mask": _mask(sizes), "positions": positions}
    found = head_effects(model, ids, ANSWERS, means, candidate_ids=CANDIDATES, **options)
    assert (expected - base).abs().max() > 1e-3
    torch.testing.assert_close(found.logit_diff, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.base_logit_diff, base, rtol=0, atol=1e-9)
    without = head_effects(model, ids, ANSWERS, means, **options)
    assert without.logit_diff is None and without.base_logit_diff is None
    assert torch.equal(found.log_prob, without.log_prob)


@pytest.mark.parametrize("positions", [None, [-1]])
def test_small_memory_budgets_give_the_same_effects(positions: list[int] | None) -> None:
    model, ids = tiny_model(), _scenes()
    means = head_means(model, ids)
    expected = head_effects(model, ids, ANSWERS, means, positions=positions)
    found = head_effects(model, ids, ANSWERS, means, positions=positions, memory_budget_mb=0.01)
    torch.testing.assert_close(found.log_prob, expected.log_prob, rtol=0, atol=1e-11)


def test_progress_counts_every_head_once(capsys: pytest.CaptureFixture) -> None:
    model, ids = tiny_model(), _scenes()
    for positions in (None, [-1]):
        with Bar("sweep", 12, N) as bar:
            head_effects(model, ids, ANSWERS, head_means(model, ids), positions=positions, progress=bar)
        assert "sweep: 100%" in (shown := capsys.readouterr().err) and "12/12" in shown


def test_ablating_to_the_clean_value_changes_nothing() -> None:
    model, ids = tiny_model(), tiny_prompts(1, T)
    effects = head_effects(model, ids, ANSWERS[:1], head_means(model, ids))
    assert (effects.log_prob - effects.base_log_prob).abs().max() <= 1e-12


def test_arguments_that_do_not_fit_are_refused() -> None:
    model, ids = tiny_model(), tiny_prompts(N, T)
    means = head_means(model, ids)
    with pytest.raises(ValueError, match="means cover 9 positions"):
        head_effects(model, tiny_prompts(N, 12), ANSWERS, means)
    with pytest.raises(ValueError, match="means must be"):
        head_effects(model, ids, ANSWERS, means[:2])
    with pytest.raises(ValueError, match="positions is empty"):
        head_effects(model, ids, ANSWERS, means, positions=[])
    with pytest.raises(ValueError, match="outside some prompt"):
        head_effects(model, ids, ANSWERS, means, positions=[9])
    with pytest.raises(ValueError, match=r"candidate_ids must be \[example, candidate\]"):
        head_effects(model, ids, ANSWERS, means, candidate_ids=CANDIDATES[:2])
    with pytest.raises(ValueError, match="candidate_ids must lie in 0 .. 39"):
        head_effects(model, ids, ANSWERS, means, candidate_ids=CANDIDATES + 1)
    with pytest.raises(ValueError, match="a candidate other than the answer"):
        head_effects(model, ids, ANSWERS, means, candidate_ids=ANSWERS[:, None])
    with pytest.raises(ValueError, match="trim the padding"):
        head_means(model, ids, attention_mask=_mask(torch.full((N,), 8)))
