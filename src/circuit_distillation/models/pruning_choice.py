"""What to keep of a model, measured on prompts: layers, key/value groups, directions of the residual stream.

- Layers: those of the largest Block Influence, 1 minus the mean cosine of the residual stream before and
  after the layer (Men et al. 2024, arXiv 2403.03853).
- Groups of heads: in every layer those that write most into the residual stream, by the mean square of
  Σ W_O z over a group's query heads.
- Directions: the first principal components of the states as the RMS norms leave them, without their
  weights (SliceGPT, arXiv 2401.15024), over all norms of the kept layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import Architecture, CausalLM, architecture, decoder_layers
from circuit_distillation.models.head_outputs import recorded_head_outputs
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.models.pruned_size import PrunedSize
from circuit_distillation.models.pruning import (
    Kept,
    ancestry,
    check_layers,
    check_width,
    pruned,
    skipping,
)


class Prompts(NamedTuple):
    """A batch of prompts: arguments of the model's forward pass, and which positions hold tokens."""

    arguments: Mapping[str, Tensor]
    is_token: Tensor  # [prompt, position] bool


def prune(
    checkpoint: Checkpoint, size: PrunedSize, prompts: Sequence[Prompts]
) -> tuple[Checkpoint, dict[Head, Head]]:
    """A pruned checkpoint, and head of it -> head of the large model that it was.

    ValueError if the size does not fit the model.
    """
    kept = choose(checkpoint.model, size, prompts)
    group_size = architecture(checkpoint.model).group_size
    return Checkpoint(pruned(checkpoint.model, kept), checkpoint.tokenizer), ancestry(kept, group_size)


@torch.no_grad()
def choose(model: CausalLM, size: PrunedSize, prompts: Sequence[Prompts]) -> Kept:
    """What stays of a model of this size, as measured on the prompts."""
    shape = architecture(model)
    check_size(shape, size)
    layers = _layers(model, size.layers, prompts)
    rest = skipping(model, layers)
    groups = tuple(
        _largest(written, size.kv_heads or shape.n_kv_heads) for written in group_outputs(rest, prompts)
    )
    rotation = None
    if size.hidden_size not in (None, shape.d_model):
        rotation = principal_directions(rest, prompts)[:, : size.hidden_size].contiguous()
    return Kept(layers, groups, rotation)


def check_size(shape: Architecture, size: PrunedSize) -> None:
    """ValueError unless a model of this shape can be pruned to that size."""
    n_layers = size.layers if isinstance(size.layers, int) else None
    limits = {"hidden_size": (size.hidden_size, shape.d_model), "kv_heads": (size.kv_heads, shape.n_kv_heads)}
    for name, (wanted, most) in (limits | {"layers": (n_layers, shape.n_layers)}).items():
        if (wanted or 0) > most:
            raise ValueError(f"{name} {wanted}: the model to prune has only {most}")
    if isinstance(size.layers, tuple):
        check_layers(size.layers, shape.n_layers)
    check_width(size.hidden_size or shape.d_model, (size.kv_heads or shape.n_kv_heads) * shape.group_size)


@torch.no_grad()
def block_influence(model: CausalLM, prompts: Sequence[Prompts]) -> Tensor:
    """1 minus the mean cosine of the residual stream before and after each layer, [layer]."""
    cosines = []
    for batch in prompts:
        before = _norm_inputs(model, batch)[::2]  # of each layer's first norm, and of the final one
        pairs = zip(before, before[1:])
        cosines.append(torch.stack([torch.cosine_similarity(x, y, dim=-1).mean() for x, y in pairs]))
    return 1 - torch.stack(cosines).mean(0)


@torch.no_grad()
def group_outputs(model: CausalLM, prompts: Sequence[Prompts]) -> Tensor:
    """Mean over tokens of the squared norm of what each key/value group writes, [layer, group]."""
    shape = architecture(model)
    written = torch.zeros(shape.n_layers, shape.n_kv_heads, dtype=torch.float64)
    for batch in prompts:
        with recorded_head_outputs(model, range(shape.n_layers)) as z:
            model(**batch.arguments, use_cache=False)
        for index, layer in enumerate(decoder_layers(model)):
            of_groups = z[index][batch.is_token].unflatten(1, (shape.n_kv_heads, -1)).flatten(2)
            weight = layer.self_attn.o_proj.weight.unflatten(1, (shape.n_kv_heads, -1))
            outputs = torch.einsum("tgz,dgz->tgd", of_groups, weight)
            written[index] += outputs.double().pow(2).sum(-1).mean(0).cpu() / len(prompts)
    return written


@torch.no_grad()
def principal_directions(model: CausalLM, prompts: Sequence[Prompts]) -> Tensor:
    """Principal components of the normalised states over all norms, [d_model, component], float64.

    Not centred, since an RMS norm subtracts no mean; the largest first.
    """
    weight = model.model.norm.weight
    moments = torch.zeros(len(weight), len(weight), dtype=torch.float64, device=weight.device)
    for batch in prompts:
        for states in _norm_inputs(model, batch):
            normed = torch.nn.functional.normalize(states.double(), dim=-1)
            moments += normed.T @ normed
    return torch.linalg.eigh(moments).eigenvectors.flip(1)


def _layers(
    model: CausalLM, wanted: int | Sequence[int] | None, prompts: Sequence[Prompts]
) -> tuple[int, ...]:
    n_layers = architecture(model).n_layers
    if wanted is None:
        return tuple(range(n_layers))
    if isinstance(wanted, int):
        return _largest(block_influence(model, prompts), wanted)
    return tuple(wanted)


def _largest(values: Tensor, n: int) -> tuple[int, ...]:
    return tuple(sorted(values.topk(n).indices.tolist()))


def _norm_inputs(model: CausalLM, batch: Prompts) -> list[Tensor]:
    """The residual stream [token, d_model] before every RMS norm: two a layer, and the final one."""
    inputs: list[Tensor] = []
    norms = [
        norm
        for layer in decoder_layers(model)
        for norm in (layer.input_layernorm, layer.post_attention_layernorm)
    ]

    def record(_: nn.Module, arguments: tuple[Tensor]) -> None:
        inputs.append(arguments[0][batch.is_token])

    handles = [norm.register_forward_pre_hook(record) for norm in (*norms, model.model.norm)]
    try:
        model(**batch.arguments, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return inputs
