from __future__ import annotations

import pytest
import torch
from naive.attribution import naive_path_attributions
from naive.tiny_models import STYLES, tiny_model, tiny_prompts

from circuit_distillation.circuits.attribution import attribute_heads, interpolated_runs
from circuit_distillation.circuits.path_patching import score_heads

N, T = 5, 9
PATHS = {
    "logits": (None, None),
    "q": ([(1, 0), (2, 3), (2, 1)], "q"),
    "k": ([(2, 0), (1, 3), (1, 2)], "k"),
    "v": ([(2, 1), (1, 3), (1, 0)], "v"),
}
ANSWERS = torch.tensor([3, 17, 39, 0, 8])
LENGTHS = torch.tensor([9, 7, 8, 9, 7])


def _prompts() -> dict:
    return {"clean_ids": tiny_prompts(N, T, 1), "corrupt_ids": tiny_prompts(N, T, 2), "answer_ids": ANSWERS}


@pytest.mark.parametrize(("steps", "padded"), [(1, False), (3, True)])
@pytest.mark.parametrize(
    ("path", "kv_scope"),
    [("logits", "per_query_head"), ("q", "per_query_head")]
    + [(which, scope) for which in "kv" for scope in ("per_query_head", "group")],
)
@pytest.mark.parametrize("style", STYLES)
def test_equals_the_gradient_of_hooked_forwards(
    style: str, path: str, kv_scope: str, steps: int, padded: bool
) -> None:
    model, sizes = tiny_model(style), LENGTHS if padded else torch.full((N,), T)
    receivers, which = PATHS[path]
    positions = torch.tensor([4, 6, 2, 8, 4]) if receivers else sizes - 1
    corrupted = torch.tensor([4, 0, 2, 8, 5])
    expected = naive_path_attributions(
        model,
        **_prompts(),
        positions=positions,
        corrupt_positions=corrupted,
        lengths=sizes,
        receivers=receivers,
        which=which,
        kv_scope=kv_scope,
        steps=steps,
    )
    found = attribute_heads(
        model,
        **_prompts(),
        sender_position=positions,
        corrupt_position=corrupted,
        receivers=receivers,
        receiver_input=which,
        kv_scope=kv_scope,
        steps=steps,
        attention_mask=(torch.arange(T) < sizes[:, None]).long(),
    )
    assert expected.abs().max() > 1e-2
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)  # softmax and norms work in float32


def test_of_a_small_change_it_is_the_exact_score() -> None:
    """Corrupted prompts that are hardly different from the clean ones."""
    model, prompts = tiny_model(), _prompts()
    embedding = model.get_input_embeddings().weight
    with torch.no_grad():  # tokens 1 .. 39 lie close together
        embedding[1:] = embedding[1] + 1e-3 * (embedding[1:] - embedding[1])
    exact = score_heads(model, **prompts, sender_position=-1, score="log_prob")
    found = attribute_heads(model, **prompts, sender_position=-1)
    assert (found - exact).abs().max() < 0.02 * exact.abs().max()


@pytest.mark.parametrize("path", PATHS)
def test_small_memory_budgets_and_shared_runs_give_the_same_scores(path: str) -> None:
    model, prompts = tiny_model(), _prompts()
    receivers, which = PATHS[path]
    options = {"sender_position": -1, "receivers": receivers, "receiver_input": which}
    expected = attribute_heads(model, **prompts, **options, steps=3)
    runs = interpolated_runs(model, prompts["clean_ids"], prompts["corrupt_ids"], 3, memory_budget_mb=0.05)
    assert len(runs) == 3 and len(runs[0].chunks) > 1
    for _ in range(2):
        found = attribute_heads(model, **prompts, **options, runs=runs)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("path", PATHS)
def test_patching_a_prompt_with_itself_changes_nothing(path: str) -> None:
    prompts = _prompts() | {"corrupt_ids": _prompts()["clean_ids"]}
    receivers, which = PATHS[path]
    found = attribute_heads(
        tiny_model(), **prompts, sender_position=-1, receivers=receivers, receiver_input=which, steps=2
    )
    assert (found == 0).all()


def test_weights_keep_whether_they_are_trained() -> None:
    model = tiny_model()
    model.lm_head.weight.requires_grad_(False)
    before = {name: weight.requires_grad for name, weight in model.named_parameters()}
    attribute_heads(model, **_prompts(), sender_position=-1)
    assert {name: weight.requires_grad for name, weight in model.named_parameters()} == before
    assert all(weight.grad is None for weight in model.parameters())


def test_half_precision_weights_are_computed_with_in_float32() -> None:
    half = tiny_model().bfloat16()
    found = attribute_heads(half, **_prompts(), sender_position=-1)
    assert found.dtype == torch.float32 and half.lm_head.weight.dtype == torch.bfloat16
    expected = attribute_heads(half.float(), **_prompts(), sender_position=-1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_arguments_that_do_not_fit_are_refused() -> None:
    model = tiny_model()
    with pytest.raises(ValueError, match="steps must be 1"):
        attribute_heads(model, **_prompts(), sender_position=-1, steps=0)
    with pytest.raises(ValueError, match="needs receivers"):
        attribute_heads(model, **_prompts(), sender_position=-1, receiver_input="q")
    runs = interpolated_runs(model, _prompts()["clean_ids"], _prompts()["clean_ids"], 1)
    with pytest.raises(ValueError, match="other prompts"):
        attribute_heads(model, **_prompts(), sender_position=-1, runs=runs)
