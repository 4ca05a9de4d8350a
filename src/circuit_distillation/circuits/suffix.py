"""Running only the last tokens of prompts from some layer on, with cached keys and values of the earlier
tokens."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from circuit_distillation.circuits.block import (
    KeyValue,
    add_mlp,
    attend,
    attention_output,
    normed_input,
    project,
)

Edit = Callable[[Tensor], Tensor]


def suffix_layer(
    layer: nn.Module,
    x: Tensor,
    prefix: KeyValue | None,
    rope: KeyValue,
    *,
    edit: dict[str, Edit] | None = None,
    last_only: bool = False,
    n_padding: int = 0,
) -> Tensor:
    """One decoder layer over streams x, [n, s, t, d], whose earlier tokens have keys and values `prefix`.

    rope holds cos and sin of the t tokens. edit maps "q", "k", "v" or "z" to a function of that tensor,
    [n, s, t, heads, d_head]; it may widen s from 1. last_only returns the last token only, [n, s, 1, d].
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
    z = edits["z"](z) if "z" in edits else z
    x = x[:, :, -1:] if last_only else x
    return add_mlp(layer, x + attention_output(layer, z))


def _last(rope: KeyValue) -> KeyValue:
    return rope[0][-1:], rope[1][-1:]
