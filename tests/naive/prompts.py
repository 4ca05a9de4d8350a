"""A tiny random model that can read a task's prompts, and what each prompt gives by itself, unbatched."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from circuit_distillation.models.head_outputs import head_outputs
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.models.mini import build_tokenizer
from circuit_distillation.tasks.example import Example
from circuit_distillation.tasks.task import Task
from naive.ablation import naive_circuit_logits
from naive.tiny_models import tiny_model


def tiny_checkpoint(task: Task, *, seed: int = 0) -> Checkpoint:
    """Two layers of four heads over two key/value heads, float64, with a word-level tokenizer."""
    tokenizer = build_tokenizer(task.vocabulary())
    return Checkpoint(
        tiny_model(n_layers=2, vocab_size=len(tokenizer), n_positions=128, seed=seed), tokenizer
    )


def prompt_ids(checkpoint: Checkpoint, example: Example) -> Tensor:
    """[1, token]."""
    return torch.tensor(checkpoint.tokenizer(example.prompt)["input_ids"])[None]


def word_ids(checkpoint: Checkpoint, words: Sequence[str]) -> list[int]:
    return [checkpoint.tokenizer.convert_tokens_to_ids(word) for word in words]


def layout_means(checkpoint: Checkpoint, examples: Sequence[Example]) -> dict[int, Tensor]:
    """By number of tokens: mean z [layer, position, head, d_head] over such prompts, each run by itself."""
    z: dict[int, list[Tensor]] = {}
    for example in examples:
        ids = prompt_ids(checkpoint, example)
        z.setdefault(ids.shape[1], []).append(head_outputs(checkpoint.model, ids)[:, 0])
    return {length: torch.stack(rows).mean(dim=0) for length, rows in z.items()}


def circuit_logits(
    checkpoint: Checkpoint, example: Example, means: dict[int, Tensor], mask: Tensor
) -> Tensor:
    """Last logits [vocab] of one prompt with only some heads at work: bool [layer, head], or [layer,
    position, head] for heads kept at some positions only."""
    ids = prompt_ids(checkpoint, example)
    n_tokens = ids.shape[1]
    kept = mask[:, None].expand(-1, n_tokens, -1) if mask.ndim == 2 else mask
    lengths = torch.tensor([n_tokens])
    return naive_circuit_logits(checkpoint.model, ids, lengths, means[n_tokens], kept[:, None])[0]


def shuffled(examples: Sequence[Example], seed: int = 0) -> list[Example]:
    """The examples in a random order, so that layouts are mixed."""
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))
    return [examples[index] for index in order.tolist()]
