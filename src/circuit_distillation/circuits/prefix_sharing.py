"""Prompts with a common beginning: it is run only once.

The queries of one scene share the scene, all questions under one instruction share the instruction. With
causal attention a token depends only on earlier tokens. So sharing is exact if ablation depends on the
position and not on the prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from circuit_distillation.circuits.prompts import equal_rows


@dataclass(frozen=True)
class SharedPrompts:
    """Prompts of one length: n beginnings of p tokens (p may be 0), each with s endings of t tokens."""

    beginnings: Tensor  # token ids [n, p]
    endings: Tensor  # token ids [n, s, t]
    examples: Tensor  # index of each prompt in the batch, [n, s]

    @property
    def n_tokens(self) -> int:
        """Tokens of one prompt."""
        return self.beginnings.shape[1] + self.endings.shape[2]

    @property
    def n_run(self) -> int:
        """Tokens that have to be run."""
        return self.beginnings.numel() + self.endings.numel()

    def split(self, max_tokens: int) -> Iterator[SharedPrompts]:
        """Parts of at most `max_tokens` run tokens each, or one prompt if that has more."""
        n, s, t = self.endings.shape
        p = self.beginnings.shape[1]
        n_part = max(1, max_tokens // (p + s * t))
        s_part = s if n_part > 1 else max(1, min(s, (max_tokens - p) // t))
        for rows in torch.arange(n).split(n_part):
            for columns in torch.arange(s).split(s_part):
                index = (rows[:, None], columns[None])
                yield SharedPrompts(self.beginnings[rows], self.endings[index], self.examples[index])


def share_beginnings(input_ids: Tensor, lengths: Tensor, limits: Tensor | None = None) -> list[SharedPrompts]:
    """Groups prompts [example, position] so that few tokens have to be run.

    For prompts of one length one common beginning length is used, that which leaves the fewest tokens to run.
    limits, [example], bounds the shared tokens of each prompt.
    """
    batches = []
    for (length,), rows in equal_rows(lengths):
        ids = input_ids[rows, :length]
        limit = length - 1 if limits is None else min(length - 1, int(limits[rows].min()))
        batches += _share(ids, rows, _best_length(ids, limit))
    return batches


def _share(ids: Tensor, rows: Tensor, p: int) -> list[SharedPrompts]:
    if p == 0:
        return [SharedPrompts(ids[:, :0], ids[:, None], rows[:, None])]
    beginnings, group, counts = torch.unique(ids[:, :p], dim=0, return_inverse=True, return_counts=True)
    by_group = torch.argsort(group, stable=True)
    firsts = counts.cumsum(0) - counts
    batches = []
    for (count,), groups in equal_rows(counts):
        members = by_group[firsts[groups][:, None] + torch.arange(count, device=ids.device)]  # [n, s]
        batches.append(SharedPrompts(beginnings[groups], ids[members, p:], rows[members]))
    return batches


def _best_length(ids: Tensor, limit: int) -> int:
    """The beginning length in 0 .. limit with the fewest tokens to run; the shortest of equals."""
    n, length = ids.shape
    best, fewest = 0, n * length
    digest = torch.zeros(n, dtype=torch.int64, device=ids.device)
    for p in range(1, limit + 1):
        digest = digest * 6364136223846793005 + ids[:, p - 1] + 1442695040888963407
        tokens = len(torch.unique(digest)) * p + n * (length - p)
        if tokens < fewest:
            best, fewest = p, tokens
    return best
