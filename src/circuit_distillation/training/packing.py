"""Packed prompts: several questions about one scene in one sequence, with losses at chosen positions.

A scene (or story) comes first and is block 0. Every question is a block of its own, k = 1, 2, ... Question
tokens see the scene and their own block only, and their position ids restart after the scene, so that a
packed sequence is exactly as many separate prompts as it holds questions, at the cost of one scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from circuit_distillation.models.architecture import CausalLM

PADDING_BLOCK = -1


@dataclass
class Target:
    """Labels at some positions of a batch, and where in the model they are read.

    ``after_layer`` None reads the final logits over the whole vocabulary; k reads an early exit: the
    residual stream after k layers, through the final norm and the tied head. ``choices`` restricts the
    softmax to these token ids. ``weight`` scales each label's cross-entropy before the mean over labels.
    """

    name: str
    rows: Tensor  # [label] index into the batch
    cols: Tensor  # [label] index into the sequence
    labels: Tensor  # [label] token ids, or [label, vocabulary] probabilities
    after_layer: int | None = None
    choices: Tensor | None = None
    weight: float | Tensor = 1.0


@dataclass
class PackedBatch:
    """Token ids, their blocks (0 scene, k k-th question, -1 padding at the end) and the labels to learn."""

    input_ids: Tensor  # [batch, position]
    position_ids: Tensor  # [batch, position]
    block: Tensor  # [batch, position]
    targets: list[Target]


def block_mask(block: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Additive mask [batch, 1, query, key]: causal, and the key is in the scene or in the query's own block.

    Additive because both the eager and the sdpa attention of transformers take it unchanged.
    """
    causal = torch.ones(block.shape[1], block.shape[1], dtype=torch.bool, device=block.device).tril()
    query, key = block[:, :, None], block[:, None, :]
    visible = causal & ((key == 0) | (key == query))
    mask = torch.zeros(visible.shape, dtype=dtype, device=block.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min)[:, None]


def residual_streams(model: CausalLM, batch: PackedBatch) -> tuple[Tensor, ...]:
    """Residual stream after 0, 1, ... layers, each [batch, position, d_model]; the last already normed."""
    output = model.model(
        input_ids=batch.input_ids,
        attention_mask=block_mask(batch.block, model.dtype),
        position_ids=batch.position_ids,
        output_hidden_states=any(target.after_layer is not None for target in batch.targets),
        use_cache=False,
    )
    return (*(output.hidden_states or ())[:-1], output.last_hidden_state)


def target_logits(model: CausalLM, streams: tuple[Tensor, ...], target: Target) -> Tensor:
    """Logits [label, vocabulary] or [label, choice] at a target's positions, the only ones unembedded."""
    if target.after_layer is None:
        hidden = streams[-1][target.rows, target.cols]
    else:
        last = len(streams) - 2
        if not 0 < target.after_layer <= last:
            raise ValueError(f"target {target.name!r}: after_layer {target.after_layer} not in 1 to {last}")
        hidden = model.model.norm(streams[target.after_layer][target.rows, target.cols])
    head = model.lm_head.weight
    return hidden @ (head if target.choices is None else head[target.choices]).T


def choice_labels(target: Target, vocab_size: int) -> Tensor:
    """Labels of the logits of ``target_logits``: as they are, or as places among the choices."""
    if target.choices is None:
        return target.labels
    places = torch.full((vocab_size,), -1, dtype=torch.long)
    places[target.choices] = torch.arange(len(target.choices))
    labels = places[target.labels]
    if (labels < 0).any():
        raise ValueError(f"target {target.name!r}: a label is not among its choices")
    return labels


@dataclass
class TargetResult:
    """What one target of a batch gave: its weighted mean cross-entropy and how often the argmax was right."""

    name: str
    loss: Tensor  # scalar, with gradient
    correct: Tensor  # [label] bool


def target_results(model: CausalLM, batch: PackedBatch) -> list[TargetResult]:
    """Loss and correctness of every target of a batch, from one forward pass."""
    streams = residual_streams(model, batch)
    results = []
    for target in batch.targets:
        logits = target_logits(model, streams, target)
        labels = choice_labels(target, model.config.vocab_size)
        entropy = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        best = labels if labels.ndim == 1 else labels.argmax(-1)
        correct = logits.detach().argmax(-1) == best
        results.append(TargetResult(target.name, (entropy * target.weight).mean(), correct))
    return results
