"""A tuning corpus as token ids, small enough in memory for millions of items, and cut into batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuit_distillation.training.packed_instructions import PromptAndResponse, instruction_ids

CHUNK = 20_000  # items that are Python lists at one time


@dataclass(frozen=True)
class TuningTokens:
    """Item i is tokens[starts[i]:starts[i + 1]], its first `prompt_lengths[i]` tokens are the prompt.

    `n_long` items were left out, because they have more tokens than a sequence may.
    """

    tokens: np.ndarray  # [token], int32
    starts: np.ndarray  # [item + 1]
    prompt_lengths: np.ndarray  # [item]
    kept: np.ndarray  # [item], its place among the items that were given
    n_long: int

    def __len__(self) -> int:
        return len(self.prompt_lengths)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each item."""
        return np.diff(self.starts)

    def by_length(self, items: np.ndarray) -> np.ndarray:
        """These items, those of like length side by side, so that little of a batch is padding."""
        return items[np.argsort(self.lengths[items], kind="stable")]

    def batch(self, items: np.ndarray) -> dict[str, Tensor]:
        """Right-padded input_ids, attention_mask and labels, [item, token] each; labels are -100 but in
        responses.

        Padding is masked by position: its id 0 may also be that of a word.
        """
        ids = torch.zeros(len(items), int(self.lengths[items].max()), dtype=torch.long)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for row, item in enumerate(items):
            tokens = torch.from_numpy(self.tokens[self.starts[item] : self.starts[item + 1]]).long()
            n, prompt = len(tokens), int(self.prompt_lengths[item])
            ids[row, :n], mask[row, :n], labels[row, prompt:n] = tokens, 1, tokens[prompt:]
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def tokenise(tokenizer: Any, items: Sequence[PromptAndResponse], max_tokens: int) -> TuningTokens:
    """Prompt and response apart, joined as ids, the end of sequence after.

    Left out are items of more than `max_tokens` tokens, or than the tokenizer allows. ValueError if nothing
    is left.
    """
    limit = min(max_tokens, tokenizer.model_max_length)
    parts, prompts, kept = [], [], []
    for start in range(0, len(items), CHUNK):
        pairs = instruction_ids(tokenizer, items[start : start + CHUNK])
        for place, (prompt, response) in enumerate(pairs, start):
            if len(prompt) + len(response) <= limit:
                kept.append(place)
                parts.append(np.array(prompt + response, dtype=np.int32))
                prompts.append(len(prompt))
    if not parts:
        raise ValueError(f"no item of the corpus has {limit} tokens or fewer: raise max_tokens")
    starts = np.cumsum([0, *map(len, parts)])
    n_long = len(items) - len(kept)
    return TuningTokens(np.concatenate(parts), starts, np.array(prompts), np.array(kept), n_long)
