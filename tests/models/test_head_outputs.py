from __future__ import annotations

import pytest
import torch
from naive.tiny_models import tiny_model, tiny_prompts

from circuit_distillation.models.head_outputs import (
    head_outputs,
    recorded_head_outputs,
    replaced_head_outputs,
)


def test_head_outputs_rebuild_the_attention_output() -> None:
    model, ids = tiny_model("qwen2"), tiny_prompts()
    z = head_outputs(model, ids, batch_size=2)
    assert z.shape == (3, 5, 9, 4, 8)
    seen = []
    handle = model.model.layers[1].self_attn.register_forward_hook(
        lambda _, __, output: seen.append(output[0])
    )
    model(ids)
    handle.remove()
    weight = model.model.layers[1].self_attn.o_proj.weight.unflatten(1, (4, 8))
    torch.testing.assert_close(torch.einsum("nthk,dhk->ntd", z[1], weight), seen[0], rtol=0, atol=1e-12)


def test_right_padding_leaves_real_positions_unchanged() -> None:
    model, ids = tiny_model(), tiny_prompts()
    padded = torch.cat([ids, torch.zeros(5, 3, dtype=torch.long)], dim=1)
    mask = (torch.arange(12) < 9).long().expand(5, 12)
    torch.testing.assert_close(
        head_outputs(model, padded, attention_mask=mask)[:, :, :9], head_outputs(model, ids)
    )


def test_recorded_outputs_keep_gradients_and_hooks_are_removed() -> None:
    model, ids = tiny_model(), tiny_prompts()
    with recorded_head_outputs(model, [2]) as recorded:
        model(ids)
    recorded[2].sum().backward()
    assert model.model.layers[0].self_attn.q_proj.weight.grad.abs().sum() > 0
    assert not model.model.layers[2].self_attn.o_proj._forward_pre_hooks
    with pytest.raises(KeyError, match="layer 1"):
        recorded[1]
    with pytest.raises(ValueError, match="outside"):
        recorded_head_outputs(model, [3])


def test_replaced_outputs_change_only_the_named_head() -> None:
    model, ids = tiny_model(), tiny_prompts()

    def zero_one_head(layer: int, z: torch.Tensor) -> torch.Tensor:
        return z * (torch.arange(4) != 1)[:, None] if layer == 2 else z

    with recorded_head_outputs(model, [2]) as before:
        clean = model(ids).logits
    with replaced_head_outputs(model, zero_one_head):
        changed = model(ids).logits
    weight = model.model.layers[2].self_attn.o_proj.weight.detach().clone()
    weight[:, 8:16] = 0
    model.model.layers[2].self_attn.o_proj.weight.data = weight
    torch.testing.assert_close(model(ids).logits, changed)
    assert before[2].shape == (5, 9, 4, 8) and not torch.allclose(clean, changed)


def test_no_prompts_is_an_error() -> None:
    with pytest.raises(ValueError, match="no prompts"):
        head_outputs(tiny_model(), torch.zeros(0, 4, dtype=torch.long))
