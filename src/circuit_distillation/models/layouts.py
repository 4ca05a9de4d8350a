"""Group prompts by length: means for each position make sense only within one layout."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from circuit_distillation.models.encoding import Encoded


@dataclass(frozen=True)
class Layout:
    """The prompts of one length, without padding, and the rows they had before: `rows` is [example]."""

    rows: Tensor
    encoded: Encoded


def layouts(encoded: Encoded) -> dict[int, Layout]:
    """Split prompts by their number of tokens; keys are lengths in ascending order."""
    lengths = encoded.attention_mask.sum(1)
    return {
        length: _layout(encoded, (lengths == length).nonzero().flatten(), length)
        for length in sorted(set(lengths.tolist()))
    }


def paired_layouts(prompts: Encoded, reference: Encoded) -> list[tuple[Layout, Layout]]:
    """Each layout of `prompts` with the same layout of `reference` (the prompts that give the means).

    ValueError if a length of `prompts` does not occur in `reference`.
    """
    ours, theirs = layouts(prompts), layouts(reference)
    missing = [length for length in ours if length not in theirs]
    if missing:
        raise ValueError(
            f"the means split has no prompt of {missing[0]} tokens: use the same templates in every split"
        )
    return [(layout, theirs[length]) for length, layout in ours.items()]


def _layout(encoded: Encoded, rows: Tensor, length: int) -> Layout:
    part = Encoded(
        input_ids=encoded.input_ids[rows, :length],
        attention_mask=torch.ones(len(rows), length, dtype=torch.long, device=rows.device),
        positions={role: places[rows] for role, places in encoded.positions.items()},
        answer_ids=encoded.answer_ids[rows],
        candidate_ids=encoded.candidate_ids[rows],
    )
    return Layout(rows, part)
