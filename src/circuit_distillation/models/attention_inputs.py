"""Reading what an attention works with: queries, keys and values of some layers, and its rows and outputs.

Queries and keys are read after their norms (Qwen3) and rotated as the model rotates them. So the rows are
exact whatever computes the attention itself, sdpa or a flash kernel, which give none: only the rows asked for
are computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, Self

import torch
from torch import Tensor, nn

from circuit_distillation.models.architecture import CausalLM, DecoderLayer, architecture, decoder_layers


class RecordedAttention:
    """Context manager that records queries, keys, values and z of `layers` in a forward, gradients kept.

    Prompts are right padded, so that a causal mask alone hides the padding from every real token.
    """

    def __init__(self, model: CausalLM, layers: Iterable[int]):
        self._shape = architecture(model)
        self._layers = {index: decoder_layers(model)[index] for index in sorted(set(layers))}
        self._found: dict[tuple[int, str], Tensor] = {}
        self._rope: dict[int, tuple[Tensor, Tensor]] = {}

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        for index, layer in self._layers.items():
            attention = layer.self_attn
            handles = [
                attention.register_forward_pre_hook(self._rope_recorder(index), with_kwargs=True),
                attention.o_proj.register_forward_pre_hook(self._input_recorder(index)),
                *(
                    _last_of(layer, which).register_forward_hook(self._output_recorder(index, which))
                    for which in "qkv"
                ),
            ]
            for handle in handles:
                self._stack.callback(handle.remove)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def z(self, layer: int, head: int, positions: Tensor) -> Tensor:
        """Outputs of a head at positions [batch, row]: [batch, row, d_head]."""
        return _at(self._heads(layer, "z")[:, :, head], positions)

    def output(self, layer: int, head: int, positions: Tensor) -> Tensor:
        """What a head adds to the residual stream, W_O z without the bias, [batch, row, d_model]."""
        z = self.z(layer, head, positions)
        linear, width = self._layers[layer].self_attn.o_proj, self._shape.d_head
        before, after = head * width, (self._shape.n_heads - head - 1) * width
        whole = nn.functional.pad(z, (before, after))
        # Its forward, not a call: hooks would take this for the layer's own, and trained slices live in it.
        added = linear.forward(whole)
        return added if linear.bias is None else added - linear.bias

    def attention(self, layer: int, head: int, positions: Tensor) -> Tensor:
        """Attention of the queries at positions [batch, row]: [batch, row, key], probabilities."""
        scale = self._layers[layer].self_attn.scaling
        queries = self._rotated(layer, "q", head)
        keys = self._rotated(layer, "k", head // self._shape.group_size)
        return _rows(_at(queries, positions), keys, positions, scale)

    def relations(self, layer: int, head: int, positions: Tensor) -> Tensor:
        """softmax of v v^T / sqrt(d_head) (MiniLM's value relations, 2012.15828), [batch, row, key]."""
        values = self._heads(layer, "v")[:, :, head // self._shape.group_size]
        return _rows(_at(values, positions), values, positions, self._shape.d_head**-0.5)

    def _heads(self, layer: int, which: str) -> Tensor:
        """[batch, position, head, d_head]; the norms of Qwen3 see heads apart, projections do not."""
        if (layer, which) not in self._found:
            raise KeyError(f"nothing is recorded of layer {layer}: run a forward first")
        found = self._found[layer, which]
        return found if found.ndim == 4 else found.unflatten(-1, (-1, self._shape.d_head))

    def _rotated(self, layer: int, which: str, head: int) -> Tensor:
        """[batch, position, d_head] in at least float32."""
        x = _wide(self._heads(layer, which)[:, :, head])
        cos, sin = (part.to(x.dtype) for part in self._rope[layer])  # [1 or batch, position, d_head]
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat([-second, first], dim=-1) * sin

    def _rope_recorder(self, index: int) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple, named: dict[str, Any]) -> None:
            self._rope[index] = named["position_embeddings"] if "position_embeddings" in named else inputs[1]

        return hook

    def _input_recorder(self, index: int) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor]) -> None:
            self._found[index, "z"] = inputs[0]

        return hook

    def _output_recorder(self, index: int, which: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self._found[index, which] = output

        return hook


def _last_of(layer: DecoderLayer, which: str) -> nn.Module:
    """The module whose output the rotation takes: the norm of the heads, where there is one."""
    norm = getattr(layer.self_attn, f"{which}_norm", None)
    return norm if norm is not None else getattr(layer.self_attn, f"{which}_proj")


def _at(x: Tensor, positions: Tensor) -> Tensor:
    """x [batch, position, width] at positions [batch, row]."""
    return x[torch.arange(len(x), device=x.device)[:, None], positions]


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _rows(queries: Tensor, keys: Tensor, positions: Tensor, scale: float) -> Tensor:
    """softmax(q k^T) over the keys up to each query's position, in at least float32, without autocast."""
    with torch.autocast(queries.device.type, enabled=False):
        logits = _wide(queries) @ _wide(keys).mT * scale
        later = torch.arange(keys.shape[1], device=keys.device) > positions[..., None]
        return logits.masked_fill(later, -torch.inf).softmax(-1)
