"""Attention rows, written outputs and value relations against eager attention."""

from __future__ import annotations

import pytest
import torch
from naive.tiny_models import tiny_model

from circuit_distillation.models.architecture import architecture
from circuit_distillation.models.attention_inputs import RecordedAttention
from circuit_distillation.training.head_slices import HeadSlices

MODELS = {
    "grouped": {"n_heads": 6, "n_kv_heads": 3},
    "biases on q, k, v": {"style": "qwen2", "n_kv_heads": 1},
    "norms of heads": {"style": "qwen3", "n_kv_heads": 2},
}


def prompts(padding: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(1, 40, (2, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 9 - padding :] = 0
    return ids * mask, mask


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", MODELS)
def test_rows_are_those_of_eager_attention(kind: str, attention: str) -> None:
    model, (ids, mask) = tiny_model(**MODELS[kind]), prompts()
    model.set_attn_implementation("eager")
    wanted = model(input_ids=ids, attention_mask=mask, output_attentions=True).attentions
    model.set_attn_implementation(attention)
    positions = torch.tensor([[0, 4, 8], [1, 3, 5]])
    with RecordedAttention(model, range(len(wanted))) as recorded:
        model(input_ids=ids, attention_mask=mask)
    for layer, of_layer in enumerate(wanted):
        for head in range(architecture(model).n_heads):
            rows = recorded.attention(layer, head, positions)
            assert rows.dtype == torch.float64
            for prompt in range(2):
                torch.testing.assert_close(
                    rows[prompt], of_layer[prompt, head, positions[prompt]], rtol=0, atol=1e-6
                )


@pytest.mark.parametrize("kind", MODELS)
def test_what_all_heads_write_is_what_the_attention_adds(kind: str) -> None:
    model, (ids, mask) = tiny_model(**MODELS[kind]), prompts(padding=0)
    shape, seen = architecture(model), {}
    positions = torch.arange(9).expand(2, 9)
    attention = model.model.layers[1].self_attn
    handle = attention.register_forward_hook(lambda _m, _i, output: seen.update(added=output[0]))
    with RecordedAttention(model, [1]) as recorded:
        model(input_ids=ids, attention_mask=mask)
        written = sum(recorded.output(1, head, positions) for head in range(shape.n_heads))
    handle.remove()
    bias = 0 if attention.o_proj.bias is None else attention.o_proj.bias
    torch.testing.assert_close(written + bias, seen["added"], rtol=0, atol=1e-12)


def test_value_relations_are_a_causal_softmax_over_values() -> None:
    model, (ids, mask) = tiny_model(n_heads=6, n_kv_heads=3), prompts()
    values = {}
    model.model.layers[0].self_attn.v_proj.register_forward_hook(lambda _m, _i, out: values.update(v=out))
    with RecordedAttention(model, [0]) as recorded:
        model(input_ids=ids, attention_mask=mask)
    width = architecture(model).d_head
    own = values["v"].unflatten(-1, (-1, width))[0, :, 2]  # query head 5 reads the third group
    wanted = (own[4] @ own[:5].T / width**0.5).softmax(-1)
    found = recorded.relations(0, 5, torch.tensor([[4], [4]]))[0, 0]
    torch.testing.assert_close(found, torch.cat([wanted, torch.zeros(4)]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("observable", ["z", "output", "attention", "relations"])
def test_gradients_reach_the_trained_slices(observable: str) -> None:
    """Finite differences on one weight of the head's slices."""
    model, (ids, mask) = tiny_model(), prompts()
    model.set_attn_implementation("sdpa")  # eager attention takes its softmax in float32
    slices = HeadSlices(model, [(0, 1)])
    positions = torch.tensor([[5], [5]])

    def total() -> torch.Tensor:
        with RecordedAttention(model, [0]) as recorded:
            model(input_ids=ids, attention_mask=mask)
            return getattr(recorded, observable)(0, 1, positions).square().sum()

    total().backward()
    name = {"z": "v", "output": "o", "attention": "q", "relations": "v"}[observable]
    piece = slices.slices[f"layer0_{name}"]
    place = int(piece.grad.abs().argmax())
    step, flat = 1e-6, piece.data.view(-1)
    values = []
    for sign in (1, -1):
        flat[place] += sign * step
        values.append(total().item())
        flat[place] -= sign * step
    expected = (values[0] - values[1]) / (2 * step)
    assert piece.grad.view(-1)[place] == pytest.approx(expected, rel=1e-6)


def test_nothing_is_read_before_a_forward() -> None:
    with RecordedAttention(tiny_model(), [0]) as recorded, pytest.raises(KeyError, match="run a forward"):
        recorded.attention(0, 0, torch.tensor([[0]]))
