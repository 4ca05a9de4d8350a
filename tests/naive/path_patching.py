"""Path patching the obvious way: one or two hooked forwards of the eager model for every head."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from circuit_distillation.models.architecture import architecture, decoder_layers


@torch.no_grad()
def naive_scores(
    model: nn.Module,
    clean_ids: Tensor,
    corrupt_ids: Tensor,
    answer_ids: Tensor,
    positions: Tensor,
    corrupt_positions: Tensor,
    lengths: Tensor,
    *,
    receivers: list[tuple[int, int]] | None = None,
    which: str | None = None,
    kv_scope: str = "per_query_head",
) -> Tensor:
    """Log-probability changes [layer, head, example]; all positions are absolute and [example]."""
    arch = architecture(model)
    mask = (torch.arange(clean_ids.shape[1]) < lengths[:, None]).long()
    n = torch.arange(len(clean_ids))

    def log_probs() -> Tensor:
        logits = model(input_ids=clean_ids, attention_mask=mask, use_cache=False).logits[n, lengths - 1]
        return logits.log_softmax(-1)[n, answer_ids]

    clean_z, corrupt_z = head_outputs(model, clean_ids, mask), head_outputs(model, corrupt_ids, mask)
    base = log_probs()
    scores = torch.zeros(arch.n_layers, arch.n_heads, len(clean_ids), dtype=base.dtype)
    frozen = torch.arange(clean_ids.shape[1]) >= positions[:, None]
    for layer in range(arch.n_layers):
        for head in range(arch.n_heads):
            recorded: dict[int, Tensor] = {}

            def freeze(index: int, z: Tensor, layer: int = layer, head: int = head) -> Tensor:
                z = torch.where(frozen[:, :, None, None], clean_z[index], z)
                if index == layer:
                    z[n, positions, head] = corrupt_z[index][n, corrupt_positions, head]
                return z

            hooks = edit_heads(model, freeze)
            if which is not None:
                hooks += record_projection(model, which, recorded)
            patched = log_probs()
            remove(hooks)
            if which is not None:
                hooks = patch_receivers(model, receivers, which, kv_scope, positions, recorded)
                patched = log_probs()
                remove(hooks)
            scores[layer, head] = patched - base
    return scores


def head_outputs(model: nn.Module, ids: Tensor, mask: Tensor) -> list[Tensor]:
    seen: list[Tensor] = []

    def record(_: int, z: Tensor) -> Tensor:
        seen.append(z.clone())
        return z

    hooks = edit_heads(model, record)
    model(input_ids=ids, attention_mask=mask, use_cache=False)
    remove(hooks)
    return seen


def edit_heads(model: nn.Module, fn: Callable[[int, Tensor], Tensor]) -> list:
    heads = architecture(model).n_heads

    def hook(index: int) -> Callable:
        return lambda _, inputs: (fn(index, inputs[0].unflatten(-1, (heads, -1)).clone()).flatten(-2),)

    return [
        layer.self_attn.o_proj.register_forward_pre_hook(hook(index))
        for index, layer in enumerate(decoder_layers(model))
    ]


def record_projection(model: nn.Module, which: str, recorded: dict[int, Tensor]) -> list:
    def hook(index: int) -> Callable:
        return lambda _, __, output: recorded.__setitem__(index, output.clone())

    return [
        getattr(layer.self_attn, f"{which}_proj").register_forward_hook(hook(index))
        for index, layer in enumerate(decoder_layers(model))
    ]


def patch_receivers(
    model: nn.Module,
    receivers: list,
    which: str,
    kv_scope: str,
    positions: Tensor,
    recorded: dict[int, Tensor],
) -> list:
    """Hooks on the projection where whole projected heads change, else recomputed attention of the receiver
    alone."""
    arch = architecture(model)
    hooks = []
    for layer, head in receivers:
        if which == "q" or kv_scope == "group":
            index = head if which == "q" else head // arch.group_size
            hooks.append(_overwrite_projection(model, layer, which, index, positions, recorded[layer]))
        else:
            hooks += _overwrite_for_one_query_head(model, layer, head, which, positions, recorded[layer])
    return hooks


def _overwrite_projection(
    model: nn.Module, layer: int, which: str, index: int, positions: Tensor, new: Tensor
):
    d_head = architecture(model).d_head
    n = torch.arange(len(positions))[:, None]
    columns = torch.arange(index * d_head, (index + 1) * d_head)[None]

    def hook(_, __, output: Tensor) -> Tensor:
        output = output.clone()
        output[n, positions[:, None], columns] = new[n, positions[:, None], columns]
        return output

    return getattr(decoder_layers(model)[layer].self_attn, f"{which}_proj").register_forward_hook(hook)


def _overwrite_for_one_query_head(
    model: nn.Module, layer: int, head: int, which: str, positions: Tensor, new: Tensor
) -> list:
    """Runs the layer's attention a second time with the group's k or v changed, and takes this head's z from
    it."""
    arch = architecture(model)
    attention = decoder_layers(model)[layer].self_attn
    stolen: list[Tensor] = []
    running: list[bool] = []

    def second_run(module: nn.Module, args: tuple, kwargs: dict) -> None:
        if running:
            return
        running.append(True)
        projection = _overwrite_projection(model, layer, which, head // arch.group_size, positions, new)
        reader = attention.o_proj.register_forward_pre_hook(
            lambda _, inputs: stolen.append(inputs[0].clone())
        )
        module(*args, **kwargs)
        remove([projection, reader])
        running.clear()

    def splice(_, inputs: tuple[Tensor]) -> tuple[Tensor]:
        if running or not stolen:
            return inputs
        z = inputs[0].clone()
        here = slice(head * arch.d_head, (head + 1) * arch.d_head)
        z[..., here] = stolen.pop()[..., here]
        return (z,)

    return [
        attention.register_forward_pre_hook(second_run, with_kwargs=True),
        attention.o_proj.register_forward_pre_hook(splice),
    ]


def remove(hooks: list) -> None:
    for hook in hooks:
        hook.remove()
