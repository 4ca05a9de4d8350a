"""Train only the weights of some heads: their rows and columns become separate leaf tensors.

A head's weights are its rows of q_proj and its columns of o_proj; with `qkvo` also the rows of k_proj and
v_proj of its key/value group. CT-SFT (2601.08146) masks gradients to the same end; here the rest of the model
is not in the optimizer at all, so neither weight decay nor momentum can move it, and no gradient is computed
for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import Architecture, CausalLM, architecture, decoder_layers
from circuit_distillation.training.sharding import assign, whole

Weights = Literal["qkvo", "qo"]
WEIGHTS = {"qkvo": ("q", "k", "v", "o"), "qo": ("q", "o")}


class HeadSlices(nn.Module):
    """The trainable slices of `heads`, used by the model's forward until `merge` writes them back.

    Under grouped-query attention the query heads of a group read the same k and v rows: with `qkvo` the rows
    of a group are one leaf tensor, moved by any of its heads, and the group's *untrained siblings share the
    moved rows*. `qo` leaves k and v alone. Biases and head norms (Qwen) stay frozen.

    Every parameter of the model itself is frozen, so the backward pass ends at the lowest layer with a
    trained head. The forward is the plain one: each touched matrix is put together from frozen and trained
    parts and multiplied once, so the model gives exactly what it gives after `merge`. In the backward, weight
    gradients are taken for the slices alone.

    Slices of half-precision weights are kept in float32 (the optimizer's steps would vanish otherwise) and
    rounded where they are used and merged.

    Raises:
        ValueError: no heads, a repeated or unknown head, unknown `weights`, or a model that already has
            slices.
    """

    def __init__(self, model: CausalLM, heads: Sequence[Head], weights: Weights = "qkvo"):
        super().__init__()
        if weights not in WEIGHTS:
            raise ValueError(f"weights must be one of {', '.join(WEIGHTS)}, got {weights!r}")
        self.heads = _checked(heads, architecture(model))
        self._shape = architecture(model)
        self._n_parameters = sum(parameter.numel() for parameter in model.parameters())
        self._model = [model]  # in a list: were it a submodule, `parameters()` would hold the whole model
        self._linears = self._projections(WEIGHTS[weights])
        self._refuse_second_slices()
        self._were_trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        model.requires_grad_(False)
        self.slices = nn.ParameterDict({name: _leaf(*place) for name, place in self._linears.items()})
        for name, (linear, index, dim) in self._linears.items():
            setattr(linear, "forward", self._sliced_forward(name, linear, index, dim))

    @property
    def percent_heads(self) -> float:
        """Share of the model's query heads that train, in percent."""
        return 100 * len(self.heads) / self._shape.n_total_heads

    @property
    def percent_parameters(self) -> float:
        """Share of the model's parameters (tied ones counted once) that train, in percent."""
        return 100 * sum(parameter.numel() for parameter in self.parameters()) / self._n_parameters

    @torch.no_grad()
    def merge(self) -> None:
        """Write the slices into the model's own weights; give its forward and `requires_grad` flags back."""
        if not self._linears:
            raise ValueError("these head slices are merged already")
        for name, (linear, index, dim) in self._linears.items():
            weight, piece = whole(linear.weight), whole(self.slices[name])
            assign(linear.weight, _assembled(weight, piece, index.to(weight.device), dim, weight.dtype))
            del linear.forward
        for parameter in self._were_trainable:
            parameter.requires_grad_(True)
        self._linears = {}

    def _projections(self, parts: Sequence[str]) -> dict[str, tuple[nn.Linear, Tensor, int]]:
        """name -> (projection, its trained rows or columns, the dimension they lie in)."""
        layers, found = decoder_layers(self._model[0]), {}
        for layer in sorted({layer for layer, _ in self.heads}):
            heads = sorted(head for at, head in self.heads if at == layer)
            groups = sorted({head // self._shape.group_size for head in heads})
            for part in parts:
                linear = getattr(layers[layer].self_attn, f"{part}_proj")
                index = _rows(groups if part in "kv" else heads, self._shape.d_head).to(linear.weight.device)
                found[f"layer{layer}_{part}"] = (linear, index, 1 if part == "o" else 0)
        return found

    def _refuse_second_slices(self) -> None:
        layers = decoder_layers(self._model[0])
        if any(
            "forward" in vars(getattr(layer.self_attn, f"{part}_proj")) for layer in layers for part in "qkvo"
        ):
            raise ValueError("the model has head slices already; merge them before making others")

    def _sliced_forward(
        self, name: str, linear: nn.Linear, index: Tensor, dim: int
    ) -> Callable[[Tensor], Tensor]:
        def forward(x: Tensor) -> Tensor:
            weight, piece, bias = linear.weight, self.slices[name], linear.bias
            dtype = (
                torch.get_autocast_dtype(x.device.type)
                if torch.is_autocast_enabled(x.device.type)
                else x.dtype
            )
            return _SlicedLinear.apply(x.to(dtype), weight, piece, bias, index.to(x.device), dim)

        return forward


class _SlicedLinear(torch.autograd.Function):
    """y = x W^T + b with part of W replaced by `piece`; gradients for x and `piece` only."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        piece: Tensor,
        bias: Tensor | None,
        index: Tensor,
        dim: int,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, piece, index)
        ctx.dim = dim
        whole = _assembled(weight, piece, index, dim, x.dtype)
        return nn.functional.linear(x, whole, None if bias is None else bias.to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, piece, index = ctx.saved_tensors  # x [..., n_in], grad [..., n_out]
        grad_x = grad_piece = None
        if ctx.needs_input_grad[0]:
            # Assembled again rather than kept: a copy of a matrix is cheap, holding one a projection is not.
            grad_x = grad @ _assembled(weight, piece, index, ctx.dim, grad.dtype)
        if ctx.needs_input_grad[2]:
            rows, columns = (x, grad) if ctx.dim == 1 else (grad, x)
            rows = rows.index_select(-1, index).flatten(0, -2)
            product = rows.mT @ columns.flatten(0, -2)  # [trained, the other side]
            grad_piece = (product.mT if ctx.dim == 1 else product).to(piece.dtype)
        return grad_x, None, grad_piece, None, None, None


def _assembled(weight: Tensor, piece: Tensor, index: Tensor, dim: int, dtype: torch.dtype) -> Tensor:
    """The whole matrix [n_out, n_in]; `piece` is rounded to the weights' dtype first, as a merge does."""
    return weight.index_copy(dim, index, piece.to(weight.dtype)).to(dtype)


def _leaf(linear: nn.Linear, index: Tensor, dim: int) -> nn.Parameter:
    piece = linear.weight.detach().index_select(dim, index)
    return nn.Parameter(piece.to(torch.promote_types(piece.dtype, torch.float32)))


def _rows(blocks: Sequence[int], width: int) -> Tensor:
    """Indices of the rows that belong to some heads (or groups), [blocks * width]."""
    return (torch.tensor(blocks)[:, None] * width + torch.arange(width)).flatten()


def _checked(heads: Sequence[Head], shape: Architecture) -> list[Head]:
    heads = [(int(layer), int(head)) for layer, head in heads]
    if not heads:
        raise ValueError("there are no heads to train: give at least one (layer, head)")
    if len(set(heads)) < len(heads):
        raise ValueError("a head is listed twice: give every head once")
    outside = [
        (layer, head)
        for layer, head in heads
        if not (0 <= layer < shape.n_layers and 0 <= head < shape.n_heads)
    ]
    if outside:
        raise ValueError(
            f"no such heads {outside}: the model has {shape.n_layers} layers of {shape.n_heads} heads"
        )
    return heads
