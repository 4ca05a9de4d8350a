"""The shape of a supported causal language model, and its decoder layers.

Supported are pre-norm decoders whose block is that of Llama: Llama, Mistral, Qwen2 (biases on q, k, v) and
Qwen3 (RMS norms on each query and key head). Query heads are numbered 0 .. n_heads - 1; with grouped-query
attention (GQA) query head h reads key/value head h // group_size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3")
LAYER_PARTS = ("self_attn", "mlp", "input_layernorm", "post_attention_layernorm")
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
HEAD_NORMS = ("q_norm", "k_norm")
WEIGHT_TYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


class Attention(nn.Module):
    """What is read of an attention of transformers. This class and those after it serve annotations alone."""

    o_proj: nn.Linear
    head_dim: int
    num_key_value_groups: int
    scaling: float


class Mlp(nn.Module):
    """A gated MLP."""

    gate_proj: nn.Linear
    up_proj: nn.Linear
    down_proj: nn.Linear
    act_fn: nn.Module


class RmsNorm(nn.Module):
    """A norm without a mean."""

    weight: Tensor
    variance_epsilon: float


class DecoderLayer(nn.Module):
    """A block of Llama's form."""

    self_attn: Attention
    mlp: Mlp
    input_layernorm: RmsNorm
    post_attention_layernorm: RmsNorm


class Decoder(nn.Module):
    """Everything below the unembedding."""

    embed_tokens: nn.Embedding
    layers: Sequence[DecoderLayer]
    norm: RmsNorm
    rotary_emb: Callable[..., tuple[Tensor, Tensor]]


class CausalLM(nn.Module):
    """A causal language model of a supported architecture."""

    model: Decoder
    lm_head: nn.Linear
    config: Any
    dtype: torch.dtype
    device: torch.device
    save_pretrained: Callable[..., object]
    get_input_embeddings: Callable[[], nn.Embedding]
    tie_weights: Callable[[], None]
    gradient_checkpointing_enable: Callable[..., None]
    gradient_checkpointing_disable: Callable[[], None]


@dataclass(frozen=True)
class Architecture:
    """Sizes of a decoder. `d_head` need not be d_model / n_heads."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_model: int
    vocab_size: int

    @property
    def group_size(self) -> int:
        """Query heads that share one key/value head."""
        return self.n_heads // self.n_kv_heads

    @property
    def n_total_heads(self) -> int:
        return self.n_layers * self.n_heads


def architecture(model: CausalLM) -> Architecture:
    """Sizes of a Llama, Mistral, Qwen2 or Qwen3 causal LM; ValueError names what any other model lacks."""
    layers = decoder_layers(model)
    config = model.config
    d_head = layers[0].self_attn.head_dim
    return Architecture(
        n_layers=len(layers),
        n_heads=config.num_attention_heads,
        n_kv_heads=config.num_key_value_heads,
        d_head=d_head,
        d_model=config.hidden_size,
        vocab_size=model.lm_head.weight.shape[0],
    )


def decoder_layers(model: CausalLM) -> Sequence[DecoderLayer]:
    """The decoder blocks: .self_attn.{q,k,v,o}_proj, .mlp, .input_layernorm, .post_attention_layernorm."""
    kind = getattr(getattr(model, "config", None), "model_type", None)
    if kind not in MODEL_TYPES:
        raise ValueError(
            f"unsupported model type {kind!r} ({type(model).__name__}): its block is not known to be that of "
            f"Llama; use a causal LM of transformers of type {', '.join(MODEL_TYPES)}"
        )
    _require(model, ("model", "lm_head"), f"{type(model).__name__} (load it with AutoModelForCausalLM)")
    _require(model.model, ("embed_tokens", "layers", "norm", "rotary_emb"), f"{type(model).__name__}.model")
    layers = model.model.layers
    if len(layers) == 0:
        raise ValueError("unsupported model: it has no decoder layers")
    _check_layer(layers[0])
    return layers


def check_window(model: CausalLM, n_tokens: int) -> None:
    """ValueError if a sliding attention window would hide part of a prompt of `n_tokens` tokens."""
    layers = decoder_layers(model)
    if model.config.model_type == "mistral":
        windows = [model.config.sliding_window]
    else:
        windows = [getattr(layer.self_attn, "sliding_window", None) for layer in layers]
    shortest = min((window for window in windows if window is not None), default=n_tokens)
    if shortest < n_tokens:
        raise ValueError(
            f"prompts of {n_tokens} tokens exceed the sliding window of {shortest}: shorten the prompts, or "
            f'write "sliding_window": {n_tokens} or more into the config.json of the base model, before any '
            "model is tuned from it"
        )


def check_dropout(config: Any) -> None:
    """ValueError if a configuration has dropout, which would set arms apart beside their losses."""
    rates = {name: rate for name, rate in config.to_dict().items() if "dropout" in name and rate}
    if rates:
        name, rate = next(iter(rates.items()))
        raise ValueError(
            f'the model has dropout ({name} {rate}): write "{name}": 0.0 into the config.json of the base '
            "model, arms must differ in their losses alone"
        )


def _check_layer(layer: DecoderLayer) -> None:
    _require(layer, LAYER_PARTS, "decoder layer")
    _require(layer.self_attn, PROJECTIONS, "self_attn")
    _require(layer.mlp, ("gate_proj", "up_proj", "down_proj"), "mlp")
    for name in PROJECTIONS:
        linear = getattr(layer.self_attn, name)
        if not isinstance(linear, nn.Linear):
            kind = type(linear).__name__
            raise ValueError(f"self_attn.{name} is a {kind}, not a Linear: merge_and_unload adapters first")
        if linear.weight.dtype not in WEIGHT_TYPES:
            raise ValueError(
                f"self_attn.{name} has weights of {linear.weight.dtype}: load the model without quantisation"
            )
    extra = {name for name, _ in layer.named_children()} - set(LAYER_PARTS)
    extra |= {name for name, _ in layer.self_attn.named_children()} - set(PROJECTIONS + HEAD_NORMS)
    if extra:
        raise ValueError(f"unsupported decoder layer: unknown parts {', '.join(sorted(extra))}")


def _require(module: nn.Module, names: tuple[str, ...], label: str) -> None:
    missing = [name for name in names if getattr(module, name, None) is None]
    if missing:
        raise ValueError(f"unsupported architecture: {label} has no {', '.join(missing)}")


def check_heads(model: CausalLM, heads: Iterable[tuple[int, int]]) -> None:
    """ValueError for a head (layer, head) that the model does not have."""
    shape = architecture(model)
    for layer, head in heads:
        if not (0 <= layer < shape.n_layers and 0 <= head < shape.n_heads):
            raise ValueError(
                f"there is no head {(layer, head)}: the model has {shape.n_layers} layers of {shape.n_heads} "
                "heads. Is the circuit or mapping of another model?"
            )
