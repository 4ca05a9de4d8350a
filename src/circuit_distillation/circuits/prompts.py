"""Prompt lengths, positions and their checks. Padding is on the right; a position may differ between
prompts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import torch
from torch import Tensor

from circuit_distillation.models.architecture import CausalLM, architecture, check_window

Position: TypeAlias = int | Tensor


def prompt_lengths(model: CausalLM, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Checks a batch of prompts, [example, position], and returns the tokens of each, [example]."""
    if input_ids.ndim != 2 or input_ids.numel() == 0:
        raise ValueError(f"input_ids must be [example, position] and not empty, not {tuple(input_ids.shape)}")
    if input_ids.max() >= architecture(model).vocab_size or input_ids.min() < 0:
        raise ValueError(f"token ids must lie in 0 .. {architecture(model).vocab_size - 1}")
    check_window(model, input_ids.shape[1])
    if attention_mask is None:
        return torch.full((len(input_ids),), input_ids.shape[1], device=input_ids.device)
    if attention_mask.shape != input_ids.shape:
        raise ValueError(
            f"attention_mask {tuple(attention_mask.shape)} must have the shape of input_ids "
            f"{tuple(input_ids.shape)}"
        )
    mask = attention_mask.bool()
    lengths = mask.sum(dim=1)
    filled = torch.arange(input_ids.shape[1], device=mask.device) < lengths[:, None]
    if (lengths == 0).any() or (mask != filled).any():
        raise ValueError(
            "attention_mask must be right padding: ones, then zeros, at least one 1 in every row"
        )
    return lengths


def resolve_position(position: Position, lengths: Tensor, name: str) -> Tensor:
    """Absolute positions [example] of an int or [example] tensor; negative ones count from each prompt's
    end."""
    positions = torch.as_tensor(position, device=lengths.device)
    if positions.is_floating_point() or positions.dtype == torch.bool:
        raise ValueError(f"{name} must be integers, not {positions.dtype}")
    if positions.ndim > 1 or (positions.ndim == 1 and positions.shape != lengths.shape):
        raise ValueError(
            f"{name} must be an int or [example] = [{len(lengths)}], not {list(positions.shape)}"
        )
    positions = positions.expand(lengths.shape)
    positions = torch.where(positions < 0, positions + lengths, positions)
    if ((positions < 0) | (positions >= lengths)).any():
        raise ValueError(f"{name} lies outside some prompt: prompts have {int(lengths.min())} tokens or more")
    return positions


def check_answers(answer_ids: Tensor, input_ids: Tensor, vocab_size: int) -> None:
    if answer_ids.shape != input_ids.shape[:1]:
        raise ValueError(f"answer_ids must be [example] = [{len(input_ids)}], not {list(answer_ids.shape)}")
    if answer_ids.max() >= vocab_size or answer_ids.min() < 0:
        raise ValueError(f"answer_ids must lie in 0 .. {vocab_size - 1}")


def equal_rows(*columns: Tensor) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Groups examples by equal values of some [example] integer columns: yields (values, example indices)."""
    values, group = torch.unique(torch.stack(columns, dim=1), dim=0, return_inverse=True)
    for index, row in enumerate(values.tolist()):
        yield tuple(row), (group == index).nonzero()[:, 0]
