"""Items of a tuning corpus as next-token examples, for students that see the corpus alone ("GOAT-style")."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import torch

from circuit_distillation.models.encoding import Encoded
from circuit_distillation.training.packed_instructions import PromptAndResponse, encode_instructions


def next_token_examples(
    tokenizer: Any, instructions: Sequence[PromptAndResponse], n: int, seed: int
) -> Encoded:
    """`n` examples, one an item: the prompt with a random part of its response; the answer is the next token.

    Every response token (and the end of the sequence) is as likely as any other of its response. Right
    padded; `positions` holds "last" alone, and the candidates are the answer. ValueError if there are fewer
    than n items.
    """
    if len(instructions) < n:
        raise ValueError(f"the corpus has {len(instructions)} items, {n} are asked for: raise corpus.n_train")
    rng = Random(f"corpus examples {seed}")
    chosen = rng.sample(list(instructions), n)
    rows, answers = [], []
    for prompt, response in encode_instructions(tokenizer, chosen):
        cut = rng.randrange(len(response))
        rows.append(prompt + response[:cut])
        answers.append(response[cut])
    lengths = torch.tensor([len(row) for row in rows])
    longest = int(lengths.max())
    filler = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    answer_ids = torch.tensor(answers)
    return Encoded(
        input_ids=torch.tensor([row + [filler] * (longest - len(row)) for row in rows]),
        attention_mask=(torch.arange(longest) < lengths[:, None]).long(),
        positions={"last": lengths - 1},
        answer_ids=answer_ids,
        candidate_ids=answer_ids[:, None],
    )
