"""One hooked forward per head, in plain PyTorch: what a careful researcher writes without a library.

Each function returns log-probabilities of the answer, [head, example], heads counted layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.setting import Prompts
from circuit_distillation.models.architecture import architecture, decoder_layers
from circuit_distillation.models.head_outputs import head_outputs, replaced_head_outputs

Head = tuple[int, int]


def all_heads(model) -> list[Head]:
    arch = architecture(model)
    return [(layer, head) for layer in range(arch.n_layers) for head in range(arch.n_heads)]


def answer_log_probs(logits: Tensor, answers: Tensor) -> Tensor:
    """logits [example, position, vocab] to [example]."""
    return logits[:, -1].log_softmax(-1).gather(1, answers[:, None])[:, 0]


@torch.no_grad()
def sender_to_logits(model, prompts: Prompts) -> Tensor:
    return _path_patch(model, prompts, prompts.clean.shape[1] - 1, None)


@torch.no_grad()
def sender_to_receivers(model, prompts: Prompts, receivers: list[Head], which: str, position: int) -> Tensor:
    """Two forwards a head; the receivers' whole key/value group is patched (kv_scope "group")."""
    return _path_patch(model, prompts, position, (receivers, which))


def _path_patch(model, prompts: Prompts, position: int, receivers: tuple[list[Head], str] | None) -> Tensor:
    clean, corrupt = head_outputs(model, prompts.clean), head_outputs(model, prompts.corrupt)
    rows = []
    for layer, head in all_heads(model):

        def freeze(index: int, z: Tensor, layer: int = layer, head: int = head) -> Tensor:
            z = torch.cat((z[:, :position], clean[index][:, position:]), dim=1)
            if index == layer:
                z[:, position, head] = corrupt[index][:, position, head]
            return z

        recorded: dict[int, Tensor] = {}
        handles = [] if receivers is None else _record(model, receivers[1], recorded)
        with replaced_head_outputs(model, freeze):
            logits = model(prompts.clean, use_cache=False).logits
        _remove(handles)
        if receivers is not None:
            handles = [_patch(model, head, receivers[1], position, recorded) for head in receivers[0]]
            logits = model(prompts.clean, use_cache=False).logits
            _remove(handles)
        rows.append(answer_log_probs(logits, prompts.answers))
    return torch.stack(rows)


@torch.no_grad()
def mean_ablation(model, prompts: Prompts, means: Tensor, *, last_only: bool) -> Tensor:
    rows = []
    for layer, head in all_heads(model):

        def ablate(index: int, z: Tensor, layer: int = layer, head: int = head) -> Tensor:
            if index == layer:
                z = z.clone()
                start = z.shape[1] - 1 if last_only else 0
                z[:, start:, head] = means[layer, start:, head]
            return z

        with replaced_head_outputs(model, ablate):
            rows.append(answer_log_probs(model(prompts.clean, use_cache=False).logits, prompts.answers))
    return torch.stack(rows)


def _record(model, which: str, recorded: dict[int, Tensor]) -> list:
    def hook(index: int) -> Callable:
        return lambda _, __, output: recorded.__setitem__(index, output)

    return [
        getattr(layer.self_attn, f"{which}_proj").register_forward_hook(hook(index))
        for index, layer in enumerate(decoder_layers(model))
    ]


def _patch(model, receiver: Head, which: str, position: int, recorded: dict[int, Tensor]):
    arch = architecture(model)
    layer, head = receiver
    slot = head if which == "q" else head // arch.group_size
    columns = slice(slot * arch.d_head, (slot + 1) * arch.d_head)

    def hook(_, __, output: Tensor) -> Tensor:
        output = output.clone()
        output[:, position, columns] = recorded[layer][:, position, columns]
        return output

    return getattr(decoder_layers(model)[layer].self_attn, f"{which}_proj").register_forward_hook(hook)


def _remove(handles: list) -> None:
    for handle in handles:
        handle.remove()
