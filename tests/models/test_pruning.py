"""Pruned models against the large model with the same parts taken out by hooks."""

from __future__ import annotations

import pytest
import torch
from naive.tiny_models import STYLES, tiny_model
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.mistral.modeling_mistral import MistralRMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from circuit_distillation.models.architecture import architecture
from circuit_distillation.models.pruning import Kept, ancestry, pruned, skipping

IDS = torch.arange(3, 27).view(2, 12)
WIDTH = 16


@pytest.fixture(autouse=True)
def norms_in_float64(monkeypatch) -> None:
    """Those of transformers compute in float32, whatever the dtype of the model."""

    def forward(self, states: Tensor) -> Tensor:
        return self.weight * states * (states.pow(2).mean(-1, keepdim=True) + self.variance_epsilon).rsqrt()

    for norm in (LlamaRMSNorm, MistralRMSNorm, Qwen2RMSNorm, Qwen3RMSNorm):
        monkeypatch.setattr(norm, "forward", forward)


def model_of(style: str, **options) -> nn.Module:
    if style == "llama":
        options |= {"attention_bias": True, "mlp_bias": True}
    model = tiny_model(style, **options)
    model.set_attn_implementation("sdpa")  # eager attention has its softmax in float32
    return model


def rotation(width: int) -> Tensor:
    torch.manual_seed(1)
    return torch.linalg.qr(torch.randn(24, 24, dtype=torch.float64)).Q[:, :width]


def kept(layers=(0, 1, 2), groups=((0, 1),) * 3, directions=None) -> Kept:
    return Kept(layers, groups, directions)


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    return model(IDS, use_cache=False).logits


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("style", STYLES)
def test_pruning_nothing_gives_the_same_logits(style: str) -> None:
    model = model_of(style)
    same = pruned(model, kept())
    assert type(same) is type(model) and torch.equal(logits(same), logits(model))
    same.model.layers[0].mlp.up_proj.weight.data.zero_()  # a model of its own
    assert model.model.layers[0].mlp.up_proj.weight.any()


@pytest.mark.parametrize("style", STYLES)
def test_a_rotation_of_the_whole_stream_gives_the_same_logits(style: str) -> None:
    model = model_of(style)
    assert close(logits(pruned(model, kept(directions=rotation(24)))), logits(model))


@pytest.mark.parametrize("style", STYLES)
def test_dropped_layers_are_skipped(style: str) -> None:
    model = model_of(style)
    small, view = pruned(model, kept((0, 2), ((0, 1),) * 2)), skipping(model, (0, 2))
    model.model.layers[1].register_forward_hook(lambda layer, arguments, output: arguments[0])
    assert torch.equal(logits(small), logits(model)) and torch.equal(logits(view), logits(model))
    assert small.config.num_hidden_layers == 2
    assert view.model.layers[1].mlp.up_proj.weight is model.model.layers[2].mlp.up_proj.weight


@pytest.mark.parametrize("style", STYLES)
def test_dropped_groups_write_nothing(style: str) -> None:
    model = model_of(style, n_heads=6, n_kv_heads=3)
    small = pruned(model, kept(groups=((0, 2), (0, 1), (1, 2))))
    for layer, gone in zip(model.model.layers, (1, 2, 0), strict=True):
        layer.self_attn.o_proj.weight.data[:, 16 * gone : 16 * gone + 16] = 0  # two heads of 8
    assert close(logits(small), logits(model))
    shape = architecture(small)
    assert (shape.n_heads, shape.n_kv_heads, shape.d_head, shape.d_model) == (4, 2, 8, 24)


@pytest.mark.parametrize("style", STYLES)
def test_a_narrow_model_is_the_large_one_with_its_stream_projected(style: str) -> None:
    """Its norms divide by the root of the mean over fewer directions, so that epsilon counts for less."""
    model, directions = model_of(style), rotation(WIDTH)
    narrow = pruned(model, kept(directions=directions))
    assert narrow.model.embed_tokens.weight.shape[1] == narrow.config.hidden_size == WIDTH

    def projected(module: nn.Module, arguments: tuple, output: Tensor) -> Tensor:
        return output @ directions @ directions.T

    model.model.embed_tokens.register_forward_hook(projected)
    norms = [model.model.norm]
    for layer in model.model.layers:
        layer.self_attn.o_proj.register_forward_hook(projected)
        layer.mlp.down_proj.register_forward_hook(projected)
        norms += [layer.input_layernorm, layer.post_attention_layernorm]
    for norm in norms:
        norm.variance_epsilon *= WIDTH / 24
    assert close(logits(narrow), logits(model))


def test_tied_embeddings_come_apart_where_the_width_is_cut_and_only_there() -> None:
    model = model_of("qwen3")
    model.config.tie_word_embeddings = True
    model.tie_weights()
    tied, rotated = pruned(model, kept((0, 1), ((0, 1),) * 2)), pruned(model, kept(directions=rotation(24)))
    assert tied.lm_head.weight is tied.model.embed_tokens.weight and tied.config.tie_word_embeddings
    assert not torch.equal(rotated.lm_head.weight, rotated.model.embed_tokens.weight)
    assert not rotated.config.tie_word_embeddings and close(logits(rotated), logits(model))


@pytest.mark.parametrize("style", STYLES)
def test_a_pruned_model_is_the_same_after_saving(style: str, tmp_path) -> None:
    small = pruned(model_of(style), kept((0, 2), ((1,), (0,)), rotation(WIDTH)))
    small.save_pretrained(tmp_path)
    again = type(small).from_pretrained(tmp_path, dtype=torch.float64)
    assert torch.equal(logits(again), logits(small))


def test_rotary_frequencies_keep_their_precision_in_half_precision() -> None:
    model = model_of("llama").to(torch.bfloat16)
    model.model.rotary_emb.float()  # as from_pretrained leaves it
    small = pruned(model, kept(directions=rotation(WIDTH)))
    assert {weight.dtype for weight in small.parameters()} == {torch.bfloat16}
    assert torch.equal(small.model.rotary_emb.inv_freq, model.model.rotary_emb.inv_freq)
    assert small.model.rotary_emb.inv_freq.dtype == torch.float32


def test_ancestry_names_the_large_models_head() -> None:
    assert ancestry(kept((0, 2), ((1,), (0,))), group_size=2) == {
        (0, 0): (0, 2),
        (0, 1): (0, 3),
        (1, 0): (2, 0),
        (1, 1): (2, 1),
    }


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (kept((0, 3), ((0, 1),) * 2), "must rise and lie in 0 .. 2"),
        (kept((1, 0), ((0, 1),) * 2), "must rise"),
        (kept(groups=((0, 1), (0,), (1,))), "the same number of key/value groups"),
        (kept(groups=((0, 2),) * 3), "must lie in 0 .. 1"),
        (kept(directions=rotation(18)), "hidden_size 18 is no multiple of the 4 heads"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts: Kept, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pruned(model_of("llama"), parts)
