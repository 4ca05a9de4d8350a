"""Structured pruning: some layers, heads and directions of a model make a smaller one of the same class.

Width is cut as in SliceGPT (Ashkboos et al. 2024, arXiv 2401.15024), with one rotation for all layers so that
the class of the model stays. The weights of the RMS norms go into the linear layers that read them; the
residual stream is then free to be rotated, and cut to the first directions. Norms of the narrow stream get
the constant weight sqrt(d_old / d_new), which makes up for the mean over fewer directions. Heads keep their
width; biases of q, k, v and the norms of query and key heads lie behind the projections and stay as they are.

Tied embeddings come apart where width is cut, since the final norm's weights go into the unembedding alone.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import (
    Architecture,
    CausalLM,
    DecoderLayer,
    architecture,
    decoder_layers,
)
from circuit_distillation.storage.tensors import in_own_memory

READERS = {
    "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
}
WRITERS = ("self_attn.o_proj", "mlp.down_proj")
State = dict[str, Tensor]


@dataclass(frozen=True)
class Kept:
    """What stays of a model: its layers in order, each one's key/value groups, and directions of the stream.

    ``groups`` holds as many groups for every layer. ``rotation`` is [d_model, width] with orthonormal
    columns; None leaves the width.
    """

    layers: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    rotation: Tensor | None = None


def pruned(model: CausalLM, kept: Kept) -> CausalLM:
    """A new model in evaluation mode, on the device and in the dtype of ``model``; ValueError if the kept
    parts do not fit the model or its class.
    """
    shape = architecture(model)
    _check(kept, shape)
    state = {
        f"model.layers.{new}.{name}": weight
        for new, (old, groups) in enumerate(zip(kept.layers, kept.groups, strict=True))
        for name, weight in _layer_state(decoder_layers(model)[old], groups, shape, kept.rotation).items()
    }
    state |= _ends(model, kept.rotation)
    with torch.device("meta"):  # no weights are drawn that would be replaced
        small = type(model)(_config(model, kept, shape))
    small.load_state_dict(state, assign=True)
    small.tie_weights()
    small.model.rotary_emb = copy.deepcopy(model.model.rotary_emb)  # its buffers are in no state
    return in_own_memory(small.eval())


def ancestry(kept: Kept, group_size: int) -> dict[Head, Head]:
    """Head of the pruned model -> head of the large model that it was."""
    return {
        (new, position): (old, head)
        for new, (old, groups) in enumerate(zip(kept.layers, kept.groups, strict=True))
        for position, head in enumerate(_query_heads(groups, group_size))
    }


def skipping(model: CausalLM, layers: tuple[int, ...]) -> CausalLM:
    """The model with these layers alone, sharing its weights."""
    shape = architecture(model)
    everything = tuple(range(shape.n_kv_heads))
    with torch.device("meta"):
        view: Any = type(model)(_config(model, Kept(layers, (everything,) * len(layers)), shape))
    view.model.layers = nn.ModuleList(decoder_layers(model)[layer] for layer in layers)
    view.model.embed_tokens, view.model.norm = model.model.embed_tokens, model.model.norm
    view.model.rotary_emb, view.lm_head = model.model.rotary_emb, model.lm_head
    return view.eval()


def check_layers(layers: Sequence[int], n_layers: int) -> None:
    """ValueError unless layers rise and the model has them."""
    if not layers or list(layers) != sorted(set(layers)) or not 0 <= layers[0] <= layers[-1] < n_layers:
        raise ValueError(f"layers {list(layers)} must rise and lie in 0 .. {n_layers - 1}")


def check_width(width: int, n_heads: int) -> None:
    """ValueError unless transformers can configure this width."""
    if width % n_heads:
        raise ValueError(f"hidden_size {width} is no multiple of the {n_heads} heads: choose one that is")


def _query_heads(groups: tuple[int, ...], group_size: int) -> list[int]:
    return [group * group_size + place for group in groups for place in range(group_size)]


def _check(kept: Kept, shape: Architecture) -> None:
    check_layers(kept.layers, shape.n_layers)
    counts = {len(groups) for groups in kept.groups}
    if len(kept.groups) != len(kept.layers) or len(counts) != 1 or counts == {0}:
        raise ValueError("every kept layer must keep the same number of key/value groups, at least one")
    if any(not 0 <= group < shape.n_kv_heads for groups in kept.groups for group in groups):
        raise ValueError(f"key/value groups must lie in 0 .. {shape.n_kv_heads - 1}")


def _config(model: CausalLM, kept: Kept, shape: Architecture) -> Any:
    old = model.config
    n_kv_heads = len(kept.groups[0])
    n_heads = n_kv_heads * shape.group_size
    width = shape.d_model if kept.rotation is None else kept.rotation.shape[1]
    check_width(width, n_heads)
    changes = {
        "num_hidden_layers": len(kept.layers),
        "num_attention_heads": n_heads,
        "num_key_value_heads": n_kv_heads,
        "head_dim": shape.d_head,
        "hidden_size": width,
        "tie_word_embeddings": old.tie_word_embeddings and kept.rotation is None,
    }
    if getattr(old, "layer_types", None) is not None:
        changes["layer_types"] = [old.layer_types[layer] for layer in kept.layers]
    config = type(old).from_dict(old.to_dict() | changes)
    config._attn_implementation = old._attn_implementation
    return config


def _layer_state(
    layer: DecoderLayer, groups: tuple[int, ...], shape: Architecture, rotation: Tensor | None
) -> State:
    state = {name: weight.detach() for name, weight in layer.state_dict().items()}
    features = torch.arange(shape.n_heads * shape.d_head).view(shape.n_heads, shape.d_head)
    of_queries = features[_query_heads(groups, shape.group_size)].flatten()
    of_groups = features[list(groups)].flatten()
    for projection, rows in (("q_proj", of_queries), ("k_proj", of_groups), ("v_proj", of_groups)):
        for part in ("weight", "bias"):
            name = f"self_attn.{projection}.{part}"
            if name in state:
                state[name] = state[name][rows]
    state["self_attn.o_proj.weight"] = state["self_attn.o_proj.weight"][:, of_queries]
    return state if rotation is None else _rotated(state, rotation)


def _rotated(state: State, rotation: Tensor) -> State:
    for norm, readers in READERS.items():
        for reader in readers:
            name = f"{reader}.weight"
            state[name] = _read(state[name], state[f"{norm}.weight"], rotation)
        state[f"{norm}.weight"] = _constant(state[f"{norm}.weight"], rotation)
    for writer in WRITERS:
        for part in ("weight", "bias"):
            if f"{writer}.{part}" in state:
                written = state[f"{writer}.{part}"]  # [d_model, ...]
                state[f"{writer}.{part}"] = (rotation.T @ written.double()).to(written.dtype)
    return state


def _ends(model: CausalLM, rotation: Tensor | None) -> State:
    embeddings, norm = model.model.embed_tokens.weight.detach(), model.model.norm.weight.detach()
    unembedding = model.lm_head.weight.detach()
    if rotation is not None:
        unembedding = _read(unembedding, norm, rotation)
        embeddings = (embeddings.double() @ rotation).to(embeddings.dtype)
        norm = _constant(norm, rotation)
    return {
        "model.embed_tokens.weight": embeddings,
        "model.norm.weight": norm,
        "lm_head.weight": unembedding,
    }


def _read(weight: Tensor, norm: Tensor, rotation: Tensor) -> Tensor:
    return ((weight.double() * norm.double()) @ rotation).to(weight.dtype)


def _constant(norm: Tensor, rotation: Tensor) -> Tensor:
    d_model, width = rotation.shape
    return norm.new_full((width,), sqrt(d_model / width))
