"""Encode examples as token ids: fixed layouts, single-token answers, positions of the roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from circuit_distillation.models.words import check_open_end
from circuit_distillation.tasks.example import Example


@dataclass
class Encoded:
    """Examples as ids, right padded. `positions` holds the roles that every example has, and "last"."""

    input_ids: Tensor  # [example, token]
    attention_mask: Tensor  # [example, token], 1 for a token, 0 for padding
    positions: dict[str, Tensor]  # role -> [example], the last token of the role's span
    answer_ids: Tensor  # [example]
    candidate_ids: Tensor  # [example, candidate]

    def to(self, device: torch.device | str) -> Encoded:
        """The same on a device, that of a model."""
        return Encoded(
            self.input_ids.to(device),
            self.attention_mask.to(device),
            {role: places.to(device) for role, places in self.positions.items()},
            self.answer_ids.to(device),
            self.candidate_ids.to(device),
        )


def encode(tokenizer: Any, examples: Sequence[Example]) -> Encoded:
    """Encode prompts with the tokenizer's own special tokens, answers as the one token after the prompt.

    "last" is the last unmasked token. ValueError if the tokenizer gives no offsets, if a word of a prompt is
    unknown to it, if an answer or candidate takes more than one token, if examples of one template differ in
    length (a name or an object takes more than one token), if numbers of candidates differ, or if the
    tokenizer ends a text with a token of its own.
    """
    if not examples:
        raise ValueError("There are no examples to encode.")
    if not tokenizer.is_fast:
        raise ValueError("Roles are found by character offsets: load the fast version of this tokenizer.")
    check_open_end(tokenizer)
    encodings = tokenizer([example.prompt for example in examples], return_attention_mask=False).encodings
    rows = [encoding.ids for encoding in encodings]
    _check_known(tokenizer, rows, examples)
    _check_layout(rows, examples)
    input_ids, attention_mask = _pad(rows, tokenizer)
    words = _word_ids(tokenizer, examples)
    if len({len(example.candidates) for example in examples}) > 1:
        raise ValueError("The examples differ in their number of candidates: encode each kind by itself.")
    return Encoded(
        input_ids=input_ids,
        attention_mask=attention_mask,
        positions=_positions(encodings, examples) | {"last": attention_mask.sum(1) - 1},
        answer_ids=torch.tensor([words[example.answer] for example in examples]),
        candidate_ids=torch.tensor([[words[word] for word in example.candidates] for example in examples]),
    )


def _check_known(tokenizer: Any, rows: list[list[int]], examples: Sequence[Example]) -> None:
    unknown = tokenizer.unk_token_id
    if unknown in (None, tokenizer.bos_token_id, tokenizer.eos_token_id):  # byte-level: nothing is unknown
        return
    for row, example in zip(rows, examples):
        if unknown in row:
            raise ValueError(
                f"The tokenizer does not know a word of {example.example_id}: {example.prompt!r}."
            )


def _check_layout(rows: list[list[int]], examples: Sequence[Example]) -> None:
    """Examples of a template must have one length, or positions mean different things in each."""
    lengths: dict[str, int] = {}
    for row, example in zip(rows, examples):
        expected = lengths.setdefault(example.template, len(row))
        if len(row) != expected:
            raise ValueError(
                f"Template '{example.template}' has {expected} tokens, {len(row)} in {example.example_id}: "
                f"the tokenizer splits a word; leave it out with exclude_words. Prompt: {example.prompt!r}."
            )


def _pad(rows: list[list[int]], tokenizer: Any) -> tuple[Tensor, Tensor]:
    """[example, token] ids and mask; the filler is never attended to, so any id that exists will do."""
    length = max(len(row) for row in rows)
    filler = next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)
    input_ids = torch.tensor([row + [filler] * (length - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return input_ids, (torch.arange(length) < lengths[:, None]).long()


def _positions(encodings: Sequence, examples: Sequence[Example]) -> dict[str, Tensor]:
    shared = set.intersection(*(set(example.spans) for example in examples))
    roles = [role for role in examples[0].spans if role in shared]
    pairs = list(zip(encodings, examples))
    return {role: torch.tensor([_last_token(*pair, role) for pair in pairs]) for role in roles}


def _last_token(encoding: Any, example: Example, role: str) -> int:
    token = encoding.char_to_token(example.spans[role][1] - 1)
    if token is None:
        raise ValueError(
            f"No token holds '{role}' of {example.example_id}: its span does not fit the prompt."
        )
    return token


def _word_ids(tokenizer: Any, examples: Sequence[Example]) -> dict[str, int]:
    """The id of each answer and candidate as the one token that follows a prompt and a space."""
    words = sorted({word for example in examples for word in (example.answer, *example.candidates)})
    before = tokenizer(examples[0].prompt).input_ids
    after = tokenizer([f"{examples[0].prompt} {word}" for word in words]).input_ids
    # Where a word merges with the end of the prompt, nothing is left of it: no single token follows.
    found = {
        word: ids[len(before) :] if ids[: len(before)] == before else [] for word, ids in zip(words, after)
    }
    bad = [word for word, ids in found.items() if len(ids) != 1 or ids[0] == tokenizer.unk_token_id]
    if bad:
        raise ValueError(f"Not one known token each: {', '.join(bad)}. Leave them out with exclude_words.")
    return {word: ids[0] for word, ids in found.items()}
