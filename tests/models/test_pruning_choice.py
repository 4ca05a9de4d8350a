"""What is kept: parts that do nothing go first."""

from __future__ import annotations

import pytest
import torch
from naive.tiny_models import STYLES, tiny_model
from pydantic import ValidationError

from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.models.pruned_size import PrunedSize
from circuit_distillation.models.pruning_choice import (
    Prompts,
    block_influence,
    choose,
    group_outputs,
    principal_directions,
    prune,
)

IDS = torch.arange(3, 27).view(2, 12)
MASK = torch.tensor([[1] * 12, [1] * 9 + [0] * 3])
PROMPTS = [Prompts({"input_ids": IDS, "attention_mask": MASK}, MASK.bool())]


@torch.no_grad()
def test_a_layer_that_changes_nothing_has_no_influence_and_goes() -> None:
    model = tiny_model(n_layers=4)
    quiet = model.model.layers[1]
    quiet.self_attn.o_proj.weight.zero_()
    quiet.mlp.down_proj.weight.zero_()
    influence = block_influence(model, PROMPTS)
    assert influence[1].abs() < 1e-12 and (influence[[0, 2, 3]] > 0.01).all()
    assert choose(model, PrunedSize(layers=3), PROMPTS).layers == (0, 2, 3)


def test_influence_is_one_minus_the_mean_cosine_over_tokens_without_padding() -> None:
    model = tiny_model()
    streams = []
    model.model.norm.register_forward_pre_hook(lambda norm, arguments: streams.append(arguments[0]))
    with torch.no_grad():
        before = model(IDS, MASK, output_hidden_states=True).hidden_states[2]
    cosines = [torch.dot(x, y) / (x.norm() * y.norm()) for x, y in zip(before[0], streams[0][0], strict=True)]
    cosines += [torch.dot(x, y) / (x.norm() * y.norm()) for x, y in zip(before[1, :9], streams[0][1, :9])]
    assert block_influence(model, PROMPTS)[2].item() == pytest.approx(1 - torch.stack(cosines).mean().item())


@torch.no_grad()
def test_groups_that_write_most_stay() -> None:
    model = tiny_model(n_heads=6, n_kv_heads=3)
    for layer, quiet in zip(model.model.layers, (0, 1, 2), strict=True):
        layer.self_attn.o_proj.weight[:, 16 * quiet : 16 * quiet + 16] *= 1e-3
    assert group_outputs(model, PROMPTS).argmin(1).tolist() == [0, 1, 2]
    assert choose(model, PrunedSize(kv_heads=2), PROMPTS).groups == ((1, 2), (0, 2), (0, 1))


@torch.no_grad()
@pytest.mark.parametrize("style", STYLES)
def test_a_stream_of_few_directions_is_cut_without_loss(style: str) -> None:
    model = tiny_model(style, rms_norm_eps=0.0)
    basis = torch.linalg.qr(torch.randn(24, 16, dtype=torch.float64)).Q
    model.model.embed_tokens.weight.copy_(model.model.embed_tokens.weight @ basis @ basis.T)
    for layer in model.model.layers:
        for writer in (layer.self_attn.o_proj, layer.mlp.down_proj):
            writer.weight.copy_(basis @ basis.T @ writer.weight)
    large = Checkpoint(model, tokenizer=None)
    small, ancestors = prune(large, PrunedSize(layers=(0, 2), hidden_size=16), PROMPTS)
    without = prune(large, PrunedSize(layers=(0, 2)), PROMPTS)[0]
    logits, expected = (x.model(IDS, MASK).logits for x in (small, without))
    assert torch.allclose(logits, expected, atol=1e-4)  # the norms compute in float32
    assert ancestors[1, 3] == (2, 3) and len(ancestors) == 8


def test_directions_are_orthonormal_and_those_of_most_variance_come_first() -> None:
    directions = principal_directions(tiny_model(), PROMPTS)
    assert torch.allclose(directions.T @ directions, torch.eye(24, dtype=torch.float64), atol=1e-10)
    doubled = [*PROMPTS, *PROMPTS]
    assert torch.allclose(principal_directions(tiny_model(), doubled).abs(), directions.abs(), atol=1e-6)


def test_the_whole_size_keeps_everything() -> None:
    kept = choose(tiny_model(), PrunedSize(), PROMPTS)
    assert kept.layers == (0, 1, 2) and kept.groups == ((0, 1),) * 3 and kept.rotation is None


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"layers": 4}, "layers 4: the model to prune has only 3"),
        ({"layers": (0, 3)}, "must rise and lie in 0 .. 2"),
        ({"hidden_size": 32}, "hidden_size 32: the model to prune has only 24"),
        ({"kv_heads": 3}, "kv_heads 3: the model to prune has only 2"),
    ],
)
def test_a_size_beyond_the_model_is_refused(size: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose(tiny_model(), PrunedSize(**size), PROMPTS)


@pytest.mark.parametrize("size", [{"layers": 0}, {"layers": ()}, {"hidden_size": 8.0}, {"width": 8}])
def test_a_size_that_is_none_is_refused(size: dict) -> None:
    with pytest.raises(ValidationError):
        PrunedSize(**size)
