"""The precision of the engine: float64 for float64 models, float32 for all others.

Scores of single heads are small (0.001 to 0.1 in log-probability). Half-precision activations would be too
coarse for them. The weights of a half-precision model stay as they are; only the current layer is copied to
float32.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from circuit_distillation.models.architecture import CausalLM, DecoderLayer, decoder_layers


def compute_dtype(model: CausalLM) -> torch.dtype:
    return torch.float64 if model.lm_head.weight.dtype == torch.float64 else torch.float32


class WorkingLayers:
    """A model's decoder layers in its compute dtype: its own, or a copy of the one asked for last."""

    def __init__(self, model: CausalLM):
        self._layers = decoder_layers(model)
        _refuse_replaced_forwards(self._layers)
        self._copies = model.lm_head.weight.dtype != compute_dtype(model)
        self._held: tuple[int, DecoderLayer] | None = None

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[DecoderLayer]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> DecoderLayer:
        if not self._copies:
            return self._layers[index]
        index %= len(self)
        if self._held is None or self._held[0] != index:
            self._held = None  # frees the previous copy before the next is made
            self._held = (index, copy.deepcopy(self._layers[index]).float())
        return self._held[1]


def unembedding(model: CausalLM) -> Tensor:
    """The unembedding matrix [vocab, d] in the compute dtype (a copy for a half-precision model)."""
    return model.lm_head.weight.to(compute_dtype(model))


def _refuse_replaced_forwards(layers: Sequence[DecoderLayer]) -> None:
    """The engine reads parts of the projections' weights, so these must be all that the projections use."""
    for layer in layers:
        for name, linear in layer.self_attn.named_children():
            if "forward" in vars(linear):
                raise ValueError(
                    f"{name} has a forward of its own: merge head slices before using the circuit engine"
                )
