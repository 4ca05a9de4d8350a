from __future__ import annotations

import pytest
import torch
from naive.path_patching import naive_scores
from naive.tiny_models import STYLES, tiny_model, tiny_prompts

from circuit_distillation.circuits.clean_runs import RecordedRuns
from circuit_distillation.circuits.path_patching import score_heads

N, T = 5, 9
LENGTHS = {"unpadded": torch.full((N,), T), "padded": torch.tensor([9, 7, 8, 9, 7])}
PATHS = {
    "logits": (None, None),
    "q": ([(1, 0), (2, 3), (2, 1)], "q"),
    "k": ([(2, 0), (1, 3), (1, 2)], "k"),
    "v": ([(2, 1), (1, 3), (1, 0)], "v"),
}


def _prompts() -> dict:
    clean, corrupt = tiny_prompts(N, T, 1), tiny_prompts(N, T, 2)
    return {"clean_ids": clean, "corrupt_ids": corrupt, "answer_ids": torch.tensor([3, 17, 39, 0, 8])}


def _mask(lengths: torch.Tensor) -> torch.Tensor:
    return (torch.arange(T) < lengths[:, None]).long()


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize(
    ("path", "kv_scope"),
    [("logits", "per_query_head"), ("q", "per_query_head")]
    + [(which, scope) for which in "kv" for scope in ("per_query_head", "group")],
)
@pytest.mark.parametrize("style", STYLES)
def test_equals_one_hooked_forward_a_head(style: str, path: str, lengths: str, kv_scope: str) -> None:
    model, sizes = tiny_model(style), LENGTHS[lengths]
    receivers, which = PATHS[path]
    positions = sizes - 1 if path == "logits" else torch.tensor([4, 6, 2, 8, 4])
    corrupted = torch.tensor([4, 0, 2, 8, 5])
    expected = naive_scores(
        model,
        **_prompts(),
        positions=positions,
        corrupt_positions=corrupted,
        lengths=sizes,
        receivers=receivers,
        which=which,
        kv_scope=kv_scope,
    )
    found = score_heads(
        model,
        **_prompts(),
        sender_position=positions,
        corrupt_position=corrupted,
        receivers=receivers,
        receiver_input=which,
        kv_scope=kv_scope,
        score="log_prob",
        attention_mask=None if lengths == "unpadded" else _mask(sizes),
    )
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_probability_is_the_relative_change() -> None:
    model = tiny_model()
    log_prob = score_heads(model, **_prompts(), sender_position=-1, score="log_prob")
    probability = score_heads(model, **_prompts(), sender_position=-1)
    torch.testing.assert_close(probability, log_prob.exp() - 1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("path", PATHS)
def test_patching_a_prompt_with_itself_changes_nothing(path: str) -> None:
    prompts = _prompts() | {"corrupt_ids": _prompts()["clean_ids"]}
    receivers, which = PATHS[path]
    position = -1 if path == "logits" else 4
    scores = score_heads(
        tiny_model(), **prompts, sender_position=position, receivers=receivers, receiver_input=which
    )
    assert scores.abs().max() <= 1e-12


def test_senders_that_cannot_reach_score_exactly_zero() -> None:
    scores = score_heads(
        tiny_model(),
        **_prompts(),
        sender_position=4,
        receivers=[(1, 2)],
        receiver_input="v",
        receiver_position=4,
    )
    assert (scores[1:] == 0).all() and (scores[0] != 0).all()
    assert (score_heads(tiny_model(), **_prompts(), sender_position=4) == 0).all()
    only_first = score_heads(
        tiny_model(), **_prompts(), sender_position=4, receivers=[(0, 2)], receiver_input="q"
    )
    assert (only_first == 0).all()


def test_group_scope_is_the_siblings_patched_one_query_head_at_a_time() -> None:
    """Two siblings as receivers per query head are the same as their group; one sibling alone is not."""
    options = {"sender_position": 4, "receiver_input": "v"}
    group = score_heads(tiny_model(), **_prompts(), **options, receivers=[(2, 1)], kv_scope="group")
    both = score_heads(tiny_model(), **_prompts(), **options, receivers=[(2, 0), (2, 1)])
    one = score_heads(tiny_model(), **_prompts(), **options, receivers=[(2, 1)])
    torch.testing.assert_close(group, both, rtol=0, atol=1e-12)
    assert (group - one).abs().max() > 1e-4


@pytest.mark.parametrize("path", PATHS)
def test_small_memory_budgets_and_shared_runs_give_the_same_scores(path: str) -> None:
    model, prompts = tiny_model(), _prompts()
    receivers, which = PATHS[path]
    options = {"sender_position": -1, "receivers": receivers, "receiver_input": which}
    expected = score_heads(model, **prompts, **options)
    runs = RecordedRuns(model, prompts["clean_ids"], prompts["corrupt_ids"], memory_budget_mb=0.05)
    assert len(runs.chunks) > 1
    for _ in range(2):
        found = score_heads(model, **prompts, **options, runs=runs)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


def test_runs_of_other_prompts_or_positions_are_refused() -> None:
    model, prompts = tiny_model(), _prompts()
    runs = RecordedRuns(model, prompts["clean_ids"], prompts["corrupt_ids"], clean_start=3, corrupt_start=3)
    with pytest.raises(ValueError, match="clean_start"):
        score_heads(model, **prompts, sender_position=2, runs=runs)
    with pytest.raises(ValueError, match="other prompts"):
        score_heads(model, **prompts | {"corrupt_ids": prompts["clean_ids"]}, sender_position=-1, runs=runs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"receiver_input": "q"}, "needs receivers"),
        ({"receivers": [(1, 0)]}, "receiver_input must be"),
        ({"receivers": [], "receiver_input": "q"}, "empty"),
        ({"receivers": [(3, 0)], "receiver_input": "q"}, "outside"),
        ({"kv_scope": "all"}, "kv_scope"),
        ({"score": "logit"}, "score must be"),
        ({"sender_position": 9}, "outside some prompt"),
        ({"sender_position": torch.zeros(4, dtype=torch.long)}, r"\[example\]"),
        ({"receivers": [(1, 0)], "receiver_input": "q", "receiver_position": 2}, "must equal"),
        ({"corrupt_ids": tiny_prompts(N, T + 1)}, "corrupt_ids"),
        ({"answer_ids": torch.zeros(4, dtype=torch.long)}, "answer_ids"),
        ({"answer_ids": torch.full((N,), 40)}, "0 .. 39"),
        ({"attention_mask": torch.ones(N, T - 1)}, "shape of input_ids"),
        ({"attention_mask": torch.ones(N, T).index_fill(1, torch.tensor([0]), 0)}, "right padding"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change: dict, message: str) -> None:
    arguments = _prompts() | {"sender_position": -1} | change
    with pytest.raises(ValueError, match=message):
        score_heads(tiny_model(), **arguments)


@pytest.mark.parametrize("path", PATHS)
def test_half_precision_weights_are_computed_with_in_float32(path: str) -> None:
    """So every head ranks as in float32; the model itself is left as it was."""
    receivers, which = PATHS[path]
    options = {"sender_position": -1, "receivers": receivers, "receiver_input": which, "score": "log_prob"}
    half = tiny_model().bfloat16()
    found = score_heads(half, **_prompts(), **options)
    assert all(weight.dtype == torch.bfloat16 for weight in half.parameters())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, score_heads(half.float(), **_prompts(), **options), rtol=0, atol=1e-6)


def test_weights_that_a_projection_does_not_use_alone_are_refused() -> None:
    model = tiny_model()
    linear = model.model.layers[1].self_attn.o_proj
    linear.forward = lambda x: 2 * type(linear).forward(linear, x)
    with pytest.raises(ValueError, match="merge"):
        score_heads(model, **_prompts(), sender_position=-1)
