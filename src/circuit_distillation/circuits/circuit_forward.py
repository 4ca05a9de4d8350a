"""A forward of a circuit alone: its heads are computed, every other head is set to its mean.

An ablated head costs almost nothing: its mean goes through W_O once for each position. Queries, keys and
values are computed only for kept heads. Above the last layer with a kept head only the last token is run.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from circuit_distillation.circuits.block import (
    KeyValue,
    add_mlp,
    attend,
    attention_output,
    embed,
    normed_input,
    rotate,
)
from circuit_distillation.circuits.cost import add_macs
from circuit_distillation.circuits.layers import rope_of
from circuit_distillation.circuits.precision import WorkingLayers, compute_dtype
from circuit_distillation.circuits.prefix_sharing import SharedPrompts
from circuit_distillation.models.architecture import CausalLM, DecoderLayer, architecture


@dataclass(frozen=True)
class Circuit:
    """Kept heads by layer. where, [example, position, layer, head] bool, limits them to positions (None:
    all)."""

    heads: list[list[int]]
    where: Tensor | None = None

    @property
    def last_layer(self) -> int:
        """The last layer that keeps a head, -1 if none does."""
        return max((layer for layer, heads in enumerate(self.heads) if heads), default=-1)


class MeanModel:
    """A model whose heads are at their means, [layer, position, head, d_head], unless a circuit keeps
    them."""

    def __init__(self, model: CausalLM, means: Tensor):
        self.model, self.arch, self.layers = model, architecture(model), WorkingLayers(model)
        self.means = means.to(compute_dtype(model))
        # What all heads at their means add to the residual stream, [layer, position, d].

        self.constant = [attention_output(layer, z) for layer, z in zip(self.layers, self.means, strict=True)]

    def final_residuals(self, batch: SharedPrompts, circuit: Circuit) -> Tensor:
        """Residuals of the last tokens after all layers, [n, s, d]."""
        p, last = batch.beginnings.shape[1], circuit.last_layer
        beginning = embed(self.model, batch.beginnings)[:, None] if p else None
        ending = embed(self.model, batch.endings if last >= 0 else batch.endings[:, :, -1:])
        for index, heads in enumerate(circuit.heads):
            earlier = None
            if beginning is not None:
                firsts = batch.examples[:, :1]
                run = self._layer(index, beginning, 0, None, firsts, circuit, keys_only=index == last)
                beginning, earlier = run
            start = batch.n_tokens - ending.shape[2]
            ending, _ = self._layer(index, ending, start, earlier, batch.examples, circuit)
            if index >= last:
                beginning, ending = None, ending[:, :, -1:]
        return ending[:, :, 0]

    def _layer(
        self,
        index: int,
        x: Tensor,
        start: int,
        earlier: KeyValue | None,
        examples: Tensor,
        circuit: Circuit,
        keys_only: bool = False,
    ) -> tuple[Tensor, KeyValue | None]:
        """Streams of prompts `examples` [n, s] from token `start` on through one layer.

        With them the keys and values of the first stream, [n, t, ...], that later tokens read; keys_only: the
        streams are left as they are, for nobody reads them. In the last layer that keeps a head only the last
        token is run.
        """
        layer, heads, stop = self.layers[index], circuit.heads[index], start + x.shape[2]
        if not heads:
            return add_mlp(layer, x + self.constant[index][start:stop]), None
        rope = rope_of(self.model, start, stop)
        normed = normed_input(layer, x)
        k, v = self._keys_values(layer, normed, heads, rope)
        if keys_only:
            return x, (k[:, 0], v[:, 0])
        if index == circuit.last_layer:
            start, x, normed = stop - 1, x[:, :, -1:], normed[:, :, -1:]
            rope = (rope[0][-1:], rope[1][-1:])
        q = _project_heads(layer, "q", normed, heads, rope)
        z = attend(q, k, v, layer.self_attn.scaling, earlier)
        where = None if circuit.where is None else circuit.where[examples, start:stop, index][..., heads]
        return self._finish(index, heads, x, z, start, where), (k[:, 0], v[:, 0])

    def _keys_values(self, layer: DecoderLayer, normed: Tensor, heads: list[int], rope: KeyValue) -> KeyValue:
        """Keys and values of the kept heads' groups; repeated by head unless whole groups are kept."""
        groups = sorted({head // self.arch.group_size for head in heads})
        k, v = (_project_heads(layer, which, normed, groups, rope) for which in "kv")
        if len(groups) * self.arch.group_size == len(heads):
            return k, v
        slots = [groups.index(head // self.arch.group_size) for head in heads]
        return k[..., slots, :], v[..., slots, :]

    def _finish(
        self, index: int, heads: list[int], x: Tensor, z: Tensor, start: int, where: Tensor | None
    ) -> Tensor:
        """Adds kept heads' difference from their means to the constant, then the MLP. where is [n, s, t, kept
        head]."""
        layer, stop = self.layers[index], start + x.shape[2]
        shift = z - self.means[index, start:stop, heads]
        shift = shift if where is None else shift * where[..., None]
        weight = layer.self_attn.o_proj.weight.unflatten(1, (self.arch.n_heads, -1))[:, heads].flatten(1)
        add_macs(shift.numel() * len(weight))
        return add_mlp(layer, x + self.constant[index][start:stop] + F.linear(shift.flatten(-2), weight))


def _project_heads(
    layer: DecoderLayer, which: str, normed: Tensor, heads: list[int], rope: KeyValue
) -> Tensor:
    """Some heads' queries, keys or values, [n, s, t, len(heads), d_head]; q and k rotated."""
    attn = layer.self_attn
    linear = getattr(attn, f"{which}_proj")
    weight = linear.weight.unflatten(0, (-1, attn.head_dim))[heads].flatten(0, 1)
    bias = None if linear.bias is None else linear.bias.unflatten(0, (-1, attn.head_dim))[heads].flatten()
    out = F.linear(normed, weight, bias).unflatten(-1, (len(heads), attn.head_dim))
    add_macs(normed.numel() * len(weight))
    if which == "v":
        return out
    norm = getattr(attn, f"{which}_norm", None)
    return rotate(out if norm is None else norm(out), rope)
