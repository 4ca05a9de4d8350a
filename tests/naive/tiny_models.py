"""Tiny random models of each supported block style, float64, eager attention."""

from __future__ import annotations

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

STYLES = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
}


def tiny_model(
    style: str = "llama",
    *,
    n_layers: int = 3,
    n_heads: int = 4,
    n_kv_heads: int = 2,
    vocab_size: int = 40,
    n_positions: int = 64,
    seed: int = 0,
    **options: object,
) -> PreTrainedModel:
    """A random model with all weights far from zero, so that every term of the block counts."""
    torch.manual_seed(seed)
    config_class, model_class = STYLES[style]
    config = config_class(
        vocab_size=vocab_size,
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        num_key_value_heads=n_kv_heads,
        head_dim=8,
        max_position_embeddings=n_positions,
        pad_token_id=0,
        attn_implementation="eager",
        tie_word_embeddings=False,
        **options,
    )
    model = model_class(config).to(torch.float64).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.25)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return model


def tiny_prompts(n: int = 5, length: int = 9, seed: int = 1) -> torch.Tensor:
    """Random token ids without the padding id 0, [n, length]."""
    return torch.randint(1, 40, (n, length), generator=torch.Generator().manual_seed(seed))
