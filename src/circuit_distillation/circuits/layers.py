"""Run decoder layers over token streams that share the earlier tokens of a prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuit_distillation.circuits.block import (
    KeyValue,
    add_mlp,
    attend,
    attention_output,
    embed,
    normed_input,
    project,
    rotary,
)
from circuit_distillation.circuits.precision import WorkingLayers
from circuit_distillation.models.architecture import CausalLM, DecoderLayer

Edit = Callable[[Tensor], Tensor]


@dataclass
class LayerOutputs:
    """One layer of a run: the residual before it and its head outputs, [n, s, t, ...]."""

    residual: Tensor
    z: Tensor


@dataclass
class LayerState(LayerOutputs):
    """With its keys and values."""

    k: Tensor
    v: Tensor


@torch.no_grad()
def layer_states(
    model: CausalLM, token_ids: Tensor, earlier: Sequence[KeyValue] | None = None
) -> Iterator[LayerState]:
    """Runs token ids [n, s, t] and yields each layer's state. What follows the last attention is not
    computed.

    earlier: by layer, keys and values [n, p, kv_head, d_head] of the p tokens before them, shared by the s
    streams. Padding on the right needs no mask: no earlier token sees it.
    """
    return states_from(model, embed(model, token_ids), earlier)


@torch.no_grad()
def states_from(
    model: CausalLM, x: Tensor, earlier: Sequence[KeyValue] | None = None
) -> Iterator[LayerState]:
    """`layer_states` of embeddings x, [n, s, t, d]."""
    layers = WorkingLayers(model)
    p = 0 if earlier is None else earlier[0][0].shape[1]
    rope = rope_of(model, p, p + x.shape[2])
    for index, layer in enumerate(layers):
        normed = normed_input(layer, x)
        q, k, v = (project(layer, normed, which, rope) for which in "qkv")
        z = attend(q, k, v, layer.self_attn.scaling, None if earlier is None else earlier[index])
        yield LayerState(x, z, k, v)
        if index + 1 < len(layers):
            x = add_mlp(layer, x + attention_output(layer, z))


def run_layer(
    layer: DecoderLayer,
    x: Tensor,
    prefix: KeyValue | None,
    rope: KeyValue,
    *,
    edit: dict[str, Edit] | None = None,
    last_only: bool = False,
    n_padding: int = 0,
) -> tuple[Tensor, KeyValue]:
    """One decoder layer over streams x, [n, s, t, d], whose earlier tokens have keys and values `prefix`.

    rope holds cos and sin of the t tokens. edit maps "q", "k" or "v" to a function of that tensor, [n, s, t,
    heads, d_head]; it may widen s from 1. Returns the streams after the layer (last_only: of the last token,
    [n, s, 1, d]) and the streams' own keys and values.
    """
    normed = normed_input(layer, x)
    edits = edit or {}
    q = (
        project(layer, normed[:, :, -1:], "q", _last(rope))
        if last_only
        else project(layer, normed, "q", rope)
    )
    k, v = project(layer, normed, "k", rope), project(layer, normed, "v", rope)
    q, k, v = (
        edits[name](tensor) if name in edits else tensor
        for name, tensor in zip("qkv", (q, k, v), strict=True)
    )
    s = max(tensor.shape[1] for tensor in (q, k, v))
    q, k, v = (tensor.expand(-1, s, -1, -1, -1) for tensor in (q, k, v))
    z = attend(q, k, v, layer.self_attn.scaling, prefix, n_padding)
    x = x[:, :, -1:] if last_only else x
    return add_mlp(layer, x + attention_output(layer, z)), (k, v)


def rope_of(model: CausalLM, start: int, stop: int) -> KeyValue:
    """cos and sin of positions start .. stop - 1, each [position, 1, d_head]."""
    cos, sin = rotary(model, stop)
    return cos[start:], sin[start:]


def _last(rope: KeyValue) -> KeyValue:
    return rope[0][-1:], rope[1][-1:]
