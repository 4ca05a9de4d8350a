"""Reading and writing head outputs z, the input of o_proj split by query head.

The head output is the *input* of o_proj: what o_proj returns is summed over heads and cannot be split.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn

from circuit_distillation.models.architecture import CausalLM, architecture, decoder_layers


class _HookedHeadOutputs(ABC):
    """Context manager under which `_see(layer, z)` gets z of some layers; what it returns replaces z."""

    def __init__(self, model: CausalLM, layers: Iterable[int]):
        self._model, self._layers, self._arch = model, sorted(set(layers)), architecture(model)

    def __enter__(self) -> Self:
        layers = decoder_layers(self._model)
        self._handles = [
            layers[index].self_attn.o_proj.register_forward_pre_hook(partial(self._before, index))
            for index in self._layers
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _before(self, index: int, _: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
        new = self._see(index, inputs[0].unflatten(-1, (self._arch.n_heads, self._arch.d_head)))
        return None if new is None else (new.flatten(-2),)

    @abstractmethod
    def _see(self, layer: int, z: Tensor) -> Tensor | None:
        """What happens to z of a layer; a tensor takes its place."""


class recorded_head_outputs(_HookedHeadOutputs):
    """Context manager that records z of some layers during a forward, gradients kept.

    After a forward of `model` inside the block, `rec[layer]` is z, [batch, position, head, d_head]; the next
    forward replaces it.
    """

    def __init__(self, model: CausalLM, layers: Iterable[int]):
        super().__init__(model, layers)
        outside = [layer for layer in self._layers if not 0 <= layer < self._arch.n_layers]
        if outside:
            raise ValueError(f"layers {outside} are outside 0 .. {self._arch.n_layers - 1}")
        self._z: dict[int, Tensor] = {}

    def __getitem__(self, layer: int) -> Tensor:
        if layer not in self._z:
            raise KeyError(
                f"no head outputs of layer {layer}: run a forward first (recorded: {self._layers})"
            )
        return self._z[layer]

    def _see(self, layer: int, z: Tensor) -> None:
        self._z[layer] = z


class replaced_head_outputs(_HookedHeadOutputs):
    """Context manager under which every layer's z, [batch, position, head, d_head], becomes fn(layer, z)."""

    def __init__(self, model: CausalLM, fn: Callable[[int, Tensor], Tensor]):
        super().__init__(model, range(architecture(model).n_layers))
        self._fn = fn

    def _see(self, layer: int, z: Tensor) -> Tensor:
        return self._fn(layer, z)


@torch.no_grad()
def head_outputs(
    model: CausalLM, input_ids: Tensor, *, attention_mask: Tensor | None = None, batch_size: int = 64
) -> Tensor:
    """z of every head at every position of clean prompts, [layer, example, position, head, d_head].

    input_ids and attention_mask are [example, position]; rows of padding positions have no meaning.
    """
    if len(input_ids) == 0:
        raise ValueError("no prompts: input_ids has no rows")
    n_layers = architecture(model).n_layers
    batches = []
    with recorded_head_outputs(model, range(n_layers)) as recorded:
        for rows in torch.arange(len(input_ids)).split(batch_size):
            mask = None if attention_mask is None else attention_mask[rows]
            model.model(input_ids=input_ids[rows], attention_mask=mask, use_cache=False)
            batches.append(torch.stack([recorded[layer] for layer in range(n_layers)]))
    return torch.cat(batches, dim=1)
