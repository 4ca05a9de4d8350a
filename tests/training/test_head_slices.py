"""Head slices against the full model: same forward, same gradients, nothing else moves, plain checkpoint."""

from __future__ import annotations

import pytest
import torch
from naive.tiny_models import tiny_model, tiny_prompts
from torch.nn.functional import cross_entropy

from circuit_distillation.models.loading import load_model
from circuit_distillation.training.head_slices import HeadSlices

HEADS = [(1, 0), (1, 3), (2, 1)]
D_HEAD = 8


def loss_of(model, seed=0):
    ids = tiny_prompts()
    labels = torch.randint(40, (len(ids),), generator=torch.Generator().manual_seed(seed))
    return cross_entropy(model(input_ids=ids).logits[:, -1].float(), labels)


def rows(*blocks):
    return torch.cat([torch.arange(b * D_HEAD, (b + 1) * D_HEAD) for b in blocks])


def moved(before, model):
    """name -> bool mask of the entries that are not bit-identical."""
    return {
        name: before[name] != tensor
        for name, tensor in model.state_dict().items()
        if not torch.equal(before[name], tensor)
    }


def train(slices, model, steps=50):
    optimizer = torch.optim.AdamW(slices.parameters(), lr=1e-2, weight_decay=0.1)
    for step in range(steps):
        optimizer.zero_grad()
        loss_of(model, step).backward()
        optimizer.step()


@pytest.mark.parametrize("style", ["llama", "mistral", "qwen2", "qwen3"])
def test_forward_is_the_plain_one_until_the_slices_move(style):
    model = tiny_model(style)
    plain = model(input_ids=tiny_prompts()).logits
    slices = HeadSlices(model, HEADS)
    assert torch.equal(model(input_ids=tiny_prompts()).logits, plain)
    with torch.no_grad():
        slices.slices["layer1_o"].add_(0.1)
    assert not torch.allclose(model(input_ids=tiny_prompts()).logits, plain)


@pytest.mark.parametrize("style", ["llama", "qwen2", "qwen3"])
def test_gradients_are_those_of_the_full_model_restricted_to_the_slices(style):
    full, sliced = tiny_model(style), tiny_model(style)
    loss_of(full).backward()
    slices = HeadSlices(sliced, HEADS)
    loss_of(sliced).backward()
    places = {
        "layer1_q": (1, "q", rows(0, 3)),
        "layer1_k": (1, "k", rows(0, 1)),
        "layer1_v": (1, "v", rows(0, 1)),
        "layer1_o": (1, "o", rows(0, 3)),
        "layer2_q": (2, "q", rows(1)),
        "layer2_k": (2, "k", rows(0)),
        "layer2_v": (2, "v", rows(0)),
        "layer2_o": (2, "o", rows(1)),
    }
    assert set(places) == set(slices.slices)
    for name, (layer, part, index) in places.items():
        grad = getattr(full.model.layers[layer].self_attn, f"{part}_proj").weight.grad
        expected = grad[:, index] if part == "o" else grad[index]
        torch.testing.assert_close(slices.slices[name].grad, expected, rtol=0, atol=1e-9)
    assert all(parameter.grad is None for parameter in sliced.parameters())


def test_nothing_but_the_slices_moves_in_fifty_steps_with_weight_decay():
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    slices = HeadSlices(model, HEADS, weights="qo")
    train(slices, model)
    assert not moved(before, model)
    slices.merge()
    changed = moved(before, model)
    expected = {f"model.layers.{layer}.self_attn.{part}_proj.weight" for layer in (1, 2) for part in "qo"}
    assert set(changed) == expected
    for layer, heads in ((1, (0, 3)), (2, (1,))):
        q = changed[f"model.layers.{layer}.self_attn.q_proj.weight"]
        o = changed[f"model.layers.{layer}.self_attn.o_proj.weight"]
        assert (
            q.any(1).nonzero().flatten().tolist()
            == o.any(0).nonzero().flatten().tolist()
            == rows(*heads).tolist()
        )


def test_a_group_has_its_key_and_value_rows_once_and_siblings_share_them():
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    slices = HeadSlices(model, [(0, 2), (0, 3)])  # both read group 1
    assert slices.slices["layer0_k"].shape == (D_HEAD, 24)
    train(slices, model, steps=2)
    slices.merge()
    for part in "kv":
        changed = moved(before, model)[f"model.layers.0.self_attn.{part}_proj.weight"]
        assert changed.any(1).nonzero().flatten().tolist() == rows(1).tolist()


def test_merged_model_is_a_plain_checkpoint_with_the_same_outputs(tmp_path):
    model = tiny_model()
    keys, flags = set(model.state_dict()), [p.requires_grad for p in model.parameters()]
    slices = HeadSlices(model, HEADS)
    train(slices, model, steps=3)
    trained = model(input_ids=tiny_prompts()).logits
    slices.merge()
    assert torch.equal(model(input_ids=tiny_prompts()).logits, trained)
    assert set(model.state_dict()) == keys and [p.requires_grad for p in model.parameters()] == flags
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path, "float64", "eager")
    assert torch.equal(loaded(input_ids=tiny_prompts()).logits, trained)
    HeadSlices(model, HEADS).merge()  # a merged model takes new slices


def test_backward_ends_at_the_lowest_trained_layer():
    model = tiny_model()
    HeadSlices(model, HEADS)
    hidden = model.model(input_ids=tiny_prompts(), output_hidden_states=True).hidden_states
    assert [state.requires_grad for state in hidden] == [False, False, True, True]


def test_half_precision_weights_train_in_float32():
    model = tiny_model().to(torch.bfloat16)
    slices = HeadSlices(model, HEADS)
    assert {parameter.dtype for parameter in slices.parameters()} == {torch.float32}
    train(slices, model, steps=2)
    trained = model(input_ids=tiny_prompts()).logits
    slices.merge()
    assert model.lm_head.weight.dtype == torch.bfloat16
    assert torch.equal(model(input_ids=tiny_prompts()).logits, trained)


def test_under_autocast_the_projections_run_in_its_dtype():
    model = tiny_model().float()
    slices = HeadSlices(model, HEADS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss_of(model).backward()
        assert model.model.layers[1].self_attn.q_proj(torch.zeros(1, 2, 24)).dtype == torch.bfloat16
    assert {parameter.grad.dtype for parameter in slices.parameters()} == {torch.float32}


def test_shares_of_heads_and_parameters():
    model = tiny_model()
    slices = HeadSlices(model, [(0, 0)])
    assert slices.percent_heads == pytest.approx(100 / 12)
    total = sum(parameter.numel() for parameter in model.parameters())
    assert slices.percent_parameters == pytest.approx(100 * 4 * D_HEAD * 24 / total)
    assert sum(p.numel() for p in HeadSlices(tiny_model(), [(0, 0)], "qo").parameters()) == 2 * D_HEAD * 24


@pytest.mark.parametrize(
    ("heads", "weights", "message"),
    [
        ([], "qkvo", "no heads"),
        ([(0, 0), (0, 0)], "qkvo", "twice"),
        ([(3, 0)], "qkvo", "no such heads"),
        ([(0, 4)], "qkvo", "no such heads"),
        ([(0, -1)], "qkvo", "no such heads"),
        ([(0, 0)], "qkv", "weights must be"),
    ],
)
def test_heads_that_do_not_fit_raise(heads, weights, message):
    with pytest.raises(ValueError, match=message):
        HeadSlices(tiny_model(), heads, weights)


def test_second_slices_and_second_merge_raise():
    model = tiny_model()
    slices = HeadSlices(model, HEADS)
    with pytest.raises(ValueError, match="already"):
        HeadSlices(model, [(0, 0)])
    slices.merge()
    with pytest.raises(ValueError, match="merged already"):
        slices.merge()
