"""A tuning corpus as token ids, small enough in memory for millions of items, and cut into batches."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from circuit_distillation.training.packed_instructions import PromptAndResponse, encode_instructions

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

    def n_responses(self, items: np.ndarray) -> int:
        """Response tokens of these items, with their end of sequence."""
        return int((self.lengths[items] - self.prompt_lengths[items]).sum())

    def digest(self) -> str:
        """SHA-256 of all tokens and lengths."""
        digest = hashlib.sha256(self.tokens.tobytes())
        digest.update(self.starts.tobytes() + self.prompt_lengths.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class TuningBatch:
    """Right-padded items; `labels` are -100 but where the next token belongs to a response."""

    input_ids: Tensor  # [item, token]
    attention_mask: Tensor  # [item, token]
    labels: Tensor  # [item, token], the token after


def tokenise(tokenizer, items: Sequence[PromptAndResponse], max_tokens: int) -> TuningTokens:
    """Prompt and response apart, joined as ids, the end of sequence after. ValueError if nothing is left."""
    parts, lengths, prompts, kept = [], [], [], []
    for start in range(0, len(items), CHUNK):
        pairs = encode_instructions(tokenizer, items[start : start + CHUNK])
        for place, (prompt, response) in enumerate(pairs, start):
            if len(prompt) + len(response) > max_tokens:
                continue
            kept.append(place)
            parts.append(np.array(prompt + response, dtype=np.int32))
            lengths.append(len(prompt) + len(response))
            prompts.append(len(prompt))
    if not parts:
        raise ValueError(f"no item of the corpus has {max_tokens} tokens or fewer: raise max_tokens")
    starts = np.concatenate([[0], np.cumsum(lengths)])
    n_long = len(items) - len(kept)
    return TuningTokens(np.concatenate(parts), starts, np.array(prompts), np.array(kept), n_long)


def batch_of(corpus: TuningTokens, items: np.ndarray, filler: int) -> TuningBatch:
    """Items side by side. The filler is masked by position: the same id inside an item still counts."""
    longest = int(corpus.lengths[items].max())
    ids = torch.full((len(items), longest), filler)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, item in enumerate(items):
        tokens = torch.from_numpy(corpus.tokens[corpus.starts[item] : corpus.starts[item + 1]]).long()
        n, prompt = len(tokens), int(corpus.prompt_lengths[item])
        ids[row, :n], mask[row, :n] = tokens, 1
        labels[row, prompt - 1 : n - 1] = tokens[prompt:]
    return TuningBatch(ids, mask, labels)


def step_items(n_items: int, batch_size: int, step: int, seed: int) -> np.ndarray:
    """The items of a step, counted from 0; the order of a pass depends on seed and pass alone."""
    per_epoch = n_items // batch_size
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng([seed, epoch]).permutation(n_items)
    return order[place * batch_size : (place + 1) * batch_size]


def micro_batches(
    corpus: TuningTokens, items: np.ndarray, size: int, n_processes: int = 1
) -> list[np.ndarray]:
    """A step's items in parts of at most about `size`, alike in length, so that little is padding.

    As many parts for every process: under FSDP they gather weights together at every forward.
    """
    ordered = items[np.argsort(corpus.lengths[items], kind="stable")]
    rounds = min(math.ceil(len(items) / (size * n_processes)), len(items) // n_processes)
    return np.array_split(ordered, rounds * n_processes)
