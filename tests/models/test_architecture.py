from __future__ import annotations

import pytest
import torch
from naive.tiny_models import STYLES, tiny_model
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    Olmo2Config,
    Olmo2ForCausalLM,
)

from circuit_distillation.models.architecture import (
    architecture,
    check_dropout,
    check_heads,
    check_window,
    decoder_layers,
)


@pytest.mark.parametrize("style", STYLES)
def test_sizes_of_every_block_style(style: str) -> None:
    model = tiny_model(style, n_layers=2, n_heads=6, n_kv_heads=2)
    arch = architecture(model)
    assert (arch.n_layers, arch.n_heads, arch.n_kv_heads, arch.d_head, arch.d_model, arch.vocab_size) == (
        2,
        6,
        2,
        8,
        24,
        40,
    )
    assert (arch.group_size, arch.n_total_heads) == (3, 12)
    assert decoder_layers(model)[1].self_attn.o_proj.in_features == 48


SMALL = {
    "vocab_size": 20,
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 4,
    "pad_token_id": 0,
}


@pytest.mark.parametrize(
    ("config", "model_class"),
    [
        (GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=20), GPT2LMHeadModel),  # other parts
        (GemmaConfig(**SMALL), GemmaForCausalLM),  # the parts, but not the block
        (Olmo2Config(**SMALL), Olmo2ForCausalLM),  # norms after attention and MLP
        (Gemma3TextConfig(**SMALL), Gemma3ForCausalLM),  # norms before and after
    ],
    ids=lambda part: getattr(part, "model_type", ""),
)
def test_a_model_of_another_type_is_refused_in_one_line(config, model_class) -> None:
    line = rf"^unsupported model type '{config.model_type}' \({model_class.__name__}\): .* qwen3$"
    with pytest.raises(ValueError, match=line):
        architecture(model_class(config))


def test_what_is_no_causal_model_is_refused() -> None:
    with pytest.raises(ValueError, match=r"LlamaModel \(load it with AutoModelForCausalLM\) has no model"):
        architecture(tiny_model().model)
    with pytest.raises(ValueError, match=r"unsupported model type None \(Linear\)"):
        architecture(torch.nn.Linear(2, 2))


def test_quantised_weights_are_refused() -> None:
    model = tiny_model()
    projection = model.model.layers[0].self_attn.k_proj
    projection.weight = torch.nn.Parameter(projection.weight.to(torch.int8), requires_grad=False)
    with pytest.raises(ValueError, match="weights of torch.int8: load the model without quantisation"):
        architecture(model)


def test_an_adapter_must_be_merged_first() -> None:
    model = tiny_model()
    model.model.layers[0].self_attn.o_proj = torch.nn.Sequential(model.model.layers[0].self_attn.o_proj)
    with pytest.raises(ValueError, match="merge"):
        architecture(model)


def test_a_window_shorter_than_the_prompt_is_refused() -> None:
    check_window(tiny_model("mistral", sliding_window=8), 8)
    with pytest.raises(ValueError, match="sliding window of 8"):
        check_window(tiny_model("mistral", sliding_window=8), 9)
    with pytest.raises(ValueError, match="sliding window of 8"):
        check_window(tiny_model("qwen2", sliding_window=8, use_sliding_window=True, max_window_layers=1), 9)
    check_window(tiny_model("qwen3"), 60)


def test_dropout_is_refused_with_its_rate() -> None:
    model = tiny_model()
    check_dropout(model.config)
    model.config.attention_dropout = 0.1
    with pytest.raises(ValueError, match=r'attention_dropout 0\.1\): write "attention_dropout": 0\.0'):
        check_dropout(model.config)


@pytest.mark.parametrize("head", [(2, 0), (0, 4), (-1, 0), (0, -1)])
def test_a_head_that_the_model_lacks_is_named(head) -> None:
    model = tiny_model(n_layers=2, n_heads=4)
    check_heads(model, [(0, 0), (1, 3)])
    message = rf"no head \({head[0]}, {head[1]}\): the model has 2 layers of 4 heads"
    with pytest.raises(ValueError, match=message):
        check_heads(model, [(0, 0), head])
