"""Ablate every head of a model, one at a time, for one batch of prompts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from circuit_distillation.circuits.block import (
    KeyValue,
    add_mlp,
    attention_output,
    block_bytes,
    normed_input,
    output_by_head,
    project,
    token_bytes,
)
from circuit_distillation.circuits.clean_runs import CleanRun, prefix
from circuit_distillation.circuits.layers import LayerOutputs, layer_states, rope_of, run_layer
from circuit_distillation.circuits.precision import WorkingLayers, compute_dtype
from circuit_distillation.circuits.prefix_sharing import SharedPrompts
from circuit_distillation.models.architecture import CausalLM, architecture

Streams = tuple[
    Tensor | None, Tensor
]  # of beginnings [n, head, p, d] (None: not needed), of endings [n, head, s, t, d]


class AblationSweep(ABC):
    """The loop that both kinds of sweep share: a batch of heads grows layer by layer, each head from its own
    layer on."""

    examples: Tensor  # indices of the prompts, [row], in the order of the results
    ending: Sequence[LayerOutputs]  # by layer, the run without ablation

    def __init__(self, model: CausalLM, means: Tensor, budget: int, n_streams: int, tokens: int, keys: int):
        self.model, self.layers, self.arch = model, WorkingLayers(model), architecture(model)
        self.means = means.to(compute_dtype(model))
        block = block_bytes(budget, means.device)
        self.size = max(1, block // (n_streams * tokens * token_bytes(model, keys)))

    def run(self) -> Iterator[tuple[slice, Tensor]]:
        """Yields (heads, final residuals [head, row, d] of the last tokens with each of them ablated).

        The head after the last is none.
        """
        n_heads, n_total = self.arch.n_heads, self.arch.n_total_heads
        yield slice(n_total, n_total + 1), self._clean_end()[None]
        for low in range(0, n_total, self.size):
            high = min(n_total, low + self.size)
            streams: Streams | None = None
            for index in range(low // n_heads, len(self.layers)):
                streams = None if streams is None else self._advance(index, streams)
                heads = [head for head in range(n_heads) if low <= index * n_heads + head < high]
                streams = _join(streams, self._begin(index, heads)) if heads else streams
            assert streams is not None, "every head lies in a layer"
            yield slice(low, high), streams[1].transpose(0, 1).reshape(high - low, -1, self.arch.d_model)

    @staticmethod
    def clean_bytes(model: CausalLM) -> int:
        """Bytes of one token's recorded states."""
        arch = architecture(model)
        width = (arch.n_heads + 2 * arch.n_kv_heads) * arch.d_head + arch.d_model
        return arch.n_layers * width * compute_dtype(model).itemsize

    def _ablate(
        self, index: int, state: LayerOutputs, heads: list[int], start: int, where: Tensor | None
    ) -> Tensor:
        """Residuals after layer `index` with each of `heads` ablated, [n, head, s, t, d]; tokens start at
        `start`.

        where, [n, t]: the ablated tokens; None is all. After the last layer only the last token is there.
        """
        layer, residual, z = self.layers[index], state.residual, state.z
        stop = start + residual.shape[2]
        if index == len(self.layers) - 1:
            start, residual, z = stop - 1, residual[:, :, -1:], z[:, :, -1:]
            where = None if where is None else where[:, -1:]
        means = self.means[index, start:stop, heads]  # [t, head, d_head]
        shift = means - z[:, :, :, heads]
        shift = shift if where is None else shift * where[:, None, :, None, None]
        after = (residual + attention_output(layer, z))[:, :, :, None] + output_by_head(layer, shift, heads)
        return add_mlp(layer, after.movedim(3, 1).contiguous())

    def _clean_end(self) -> Tensor:
        """Final residuals [row, d] of the last tokens without ablation."""
        layer, state = self.layers[-1], self.ending[-1]
        after = state.residual[:, :, -1:] + attention_output(layer, state.z[:, :, -1:])
        return add_mlp(layer, after).reshape(-1, self.arch.d_model)

    @abstractmethod
    def _begin(self, index: int, heads: list[int]) -> Streams:
        """Streams after layer `index` of heads of that layer, each ablated."""

    @abstractmethod
    def _advance(self, index: int, streams: Streams) -> Streams:
        """Runs layer `index`."""


class ShareSweep(AblationSweep):
    """Ablation at every position, of prompts that share beginnings: a beginning is run once per ablated
    head."""

    def __init__(self, model: CausalLM, batch: SharedPrompts, means: Tensor, budget: int):
        n, s, t = batch.endings.shape
        self.p, self.examples = batch.beginnings.shape[1], batch.examples.reshape(-1)
        super().__init__(model, means, budget, n, self.p + s * t, batch.n_tokens)
        self.rope = rope_of(model, self.p, batch.n_tokens)
        self.beginning, earlier = [], None
        if self.p:
            self.rope_beginning = rope_of(model, 0, self.p)
            self.beginning = list(layer_states(model, batch.beginnings[:, None]))
            earlier = [(state.k[:, 0], state.v[:, 0]) for state in self.beginning]
        self.ending = list(layer_states(model, batch.endings, earlier))

    def _begin(self, index: int, heads: list[int]) -> Streams:
        ending = self._ablate(index, self.ending[index], heads, self.p, None)
        if not self.p or index == len(self.layers) - 1:
            return None, ending
        return self._ablate(index, self.beginning[index], heads, 0, None)[:, :, 0], ending

    def _advance(self, index: int, streams: Streams) -> Streams:
        layer, last = self.layers[index], index == len(self.layers) - 1
        beginning, ending = streams
        earlier: KeyValue | None = None
        if beginning is not None:
            flat = beginning.flatten(0, 1)[:, None]  # [n * head, 1, p, d]
            if last:
                normed = normed_input(layer, flat)
                k, v = (project(layer, normed, which, self.rope_beginning) for which in "kv")
                beginning = None
            else:
                after, (k, v) = run_layer(layer, flat, None, self.rope_beginning)
                beginning = after.view(beginning.shape)
            earlier = (k[:, 0], v[:, 0])
        after, _ = run_layer(layer, ending.flatten(0, 1), earlier, self.rope, last_only=last)
        return beginning, after.unflatten(0, ending.shape[:2])


class SuffixSweep(AblationSweep):
    """Ablation at some positions: the tokens before the first of them, `start`, stay clean and are not run
    again."""

    def __init__(
        self,
        model: CausalLM,
        clean: CleanRun,
        rows: Tensor,
        examples: Tensor,
        span: tuple[int, int],
        ablated: Tensor,
        means: Tensor,
        budget: int,
    ):
        """rows of the clean run are `examples`; span is (start, tokens), ablated [n, tokens - start]."""
        (start, length), n_tokens = span, clean.k[0].shape[1]
        super().__init__(model, means, budget, len(rows), length - start, n_tokens)
        self.examples, self.start, self.ablated = examples, start, ablated
        self.n_padding = n_tokens - length
        self.rope = rope_of(model, start, length)
        self.earlier = [prefix(clean, index, rows, start) for index in range(len(self.layers))]
        kept = slice(start - clean.start, length - clean.start)
        self.ending = [
            LayerOutputs(residual[rows, kept][:, None], z[rows, kept][:, None])
            for residual, z in zip(clean.residual, clean.z, strict=True)
        ]

    def _begin(self, index: int, heads: list[int]) -> Streams:
        return None, self._ablate(index, self.ending[index], heads, self.start, self.ablated)

    def _advance(self, index: int, streams: Streams) -> Streams:
        last = index == len(self.layers) - 1
        flat = streams[1].flatten(1, 2)  # [n, head * 1, t, d]
        after, _ = run_layer(
            self.layers[index],
            flat,
            self.earlier[index],
            self.rope,
            last_only=last,
            n_padding=self.n_padding,
        )
        return None, after[:, :, None]


def _join(streams: Streams | None, new: Streams) -> Streams:
    if streams is None:
        return new
    (beginning, ending), (new_beginning, new_ending) = streams, new
    if beginning is not None and new_beginning is not None:
        beginning = torch.cat((beginning, new_beginning), dim=1)
    return beginning, torch.cat((ending, new_ending), dim=1)
