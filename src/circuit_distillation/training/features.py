"""Sites and rows: which activations of a model are compared, and at which tokens.

A site is (layer, head), of which an observable is read (`observables`), or (layer, None), the residual stream
after a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from circuit_distillation.models.architecture import CausalLM, architecture, decoder_layers
from circuit_distillation.models.attention_inputs import RecordedAttention
from circuit_distillation.models.encoding import Encoded
from circuit_distillation.training.rows import ROWS

Site = tuple[int, int | None]


class RecordedFeatures:
    """Context manager that records the activations of `sites` in a forward of `model`, gradients kept.

    observable: what is read of heads, a name of `observables.OBSERVABLES`.
    """

    def __init__(self, model: CausalLM, sites: Sequence[Site], observable: str = "z"):
        shape = architecture(model)
        self._sites = list(dict.fromkeys(sites))
        for layer, head in self._sites:
            if not 0 <= layer < shape.n_layers or not (head is None or 0 <= head < shape.n_heads):
                raise ValueError(
                    f"no such site {(layer, head)}: the model has {shape.n_layers} layers "
                    f"of {shape.n_heads} heads"
                )
        self._heads = RecordedAttention(model, {layer for layer, head in self._sites if head is not None})
        self._read = getattr(self._heads, observable)
        self._layers = {layer: decoder_layers(model)[layer] for layer, head in self._sites if head is None}
        self._residual: dict[int, Tensor] = {}

    def __enter__(self) -> RecordedFeatures:
        self._stack = ExitStack()
        self._stack.enter_context(self._heads)
        for index, layer in self._layers.items():
            self._stack.callback(layer.register_forward_hook(self._recorder(index)).remove)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def at(self, positions: Tensor) -> dict[Site, Tensor]:
        """Activations of the last forward at positions [batch, row]: site -> [batch, row, width]."""
        batch = torch.arange(len(positions), device=positions.device)[:, None]
        return {
            (layer, head): self._residual[layer][batch, positions]
            if head is None
            else self._read(layer, head, positions)
            for layer, head in self._sites
        }

    def _recorder(self, index: int) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
            self._residual[index] = output[0] if isinstance(output, tuple) else output

        return hook


def row_positions(encoded: Encoded, rows: str) -> tuple[Tensor, Tensor]:
    """Token positions whose activations enter the Gram matrices, and which of them count.

    Args:
        rows: a name of `rows.ROWS`: `last` (the last token of the prompt, where the answer
            is read), `answer` (where the answer stands in the prompt, for tasks that have such a place),
            `all` (every token but padding); or the name of a role.

    Returns:
        positions [example, row] and mask [example, row] (bool).
    """
    role = ROWS.get(rows, rows)
    if role is None:
        n, length = encoded.input_ids.shape
        return torch.arange(length).expand(n, length), encoded.attention_mask.bool()
    if role not in encoded.positions:
        raise ValueError(
            f"rows {rows!r}: these examples have no role {role!r}; "
            f"use all or one of {', '.join(encoded.positions)}"
        )
    positions = encoded.positions[role][:, None]
    return positions, torch.ones_like(positions, dtype=torch.bool)
