"""Instructions as packed batches: the loss is on the response and its end of sequence only, never on the
prompt.

Serves both tuning corpora (arithmetic and Alpaca-style instructions). The response is tokenised as it follows
a prompt, and the two are joined as ids, so that no token spans the boundary and what is trained is what a
user's prompt gives at inference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.models.words import continuations
from circuit_distillation.training.packing import PADDING_BLOCK, PackedBatch, Target, target_results


class PromptAndResponse(Protocol):
    """What an instruction of any corpus must have."""

    @property
    def prompt(self) -> str: ...
    @property
    def response(self) -> str: ...


def encode_instructions(
    tokenizer: Any, instructions: Sequence[PromptAndResponse]
) -> list[tuple[list[int], list[int]]]:
    """(prompt ids with BOS, response ids with EOS) of each instruction.

    Raises ``ValueError`` for an empty list, an empty response, a word the tokenizer does not know, or a text
    that is too long.
    """
    pairs, most = instruction_ids(tokenizer, instructions), tokenizer.model_max_length
    for instruction, (prompt, response) in zip(instructions, pairs, strict=True):
        if len(prompt) + len(response) > most:
            n_tokens = len(prompt) + len(response)
            raise ValueError(f"{n_tokens} tokens, more than {most}: {instruction.prompt!r}")
    return pairs


def instruction_ids(
    tokenizer: Any, instructions: Sequence[PromptAndResponse]
) -> list[tuple[list[int], list[int]]]:
    """``encode_instructions`` for texts of any length."""
    if not instructions:
        raise ValueError("no instructions to encode: generate at least one")
    prompts = tokenizer([x.prompt for x in instructions])["input_ids"]
    responses = continuations(tokenizer, [x.response for x in instructions])
    unknown = tokenizer.unk_token_id
    if unknown in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        unknown = None  # one id for all special tokens, as byte-level vocabularies have: they know all words
    for instruction, prompt, response in zip(instructions, prompts, responses, strict=True):
        if not response:
            raise ValueError(
                f"empty response to {instruction.prompt!r}: drop instructions without a response"
            )
        if unknown is not None and unknown in prompt + response:
            text = instruction.prompt + instruction.response
            raise ValueError(f"unknown word in {text!r}: add it to the vocabulary")
    end = tokenizer.eos_token_id
    return [(prompt, [*response, end]) for prompt, response in zip(prompts, responses, strict=True)]


def pack_instructions(
    pairs: Sequence[tuple[list[int], list[int]]], pad_id: int, *, name: str = "response", weight: float = 1.0
) -> PackedBatch:
    """One instruction a row, right padded, all of it in block 0; one target with every response token and the
    end, its loss times ``weight``.
    """
    lengths = [len(prompt) + len(response) for prompt, response in pairs]
    input_ids = torch.full((len(pairs), max(lengths)), pad_id)
    block = torch.full_like(input_ids, PADDING_BLOCK)
    rows: list[int] = []
    cols: list[int] = []
    labels: list[int] = []
    for row, (prompt, response) in enumerate(pairs):
        input_ids[row, : lengths[row]] = torch.tensor(prompt + response)
        block[row, : lengths[row]] = 0
        rows += [row] * len(response)
        cols += range(len(prompt) - 1, lengths[row] - 1)  # the token before predicts
        labels += response
    position_ids = torch.arange(max(lengths)).expand_as(input_ids)
    target = Target(name, torch.tensor(rows), torch.tensor(cols), torch.tensor(labels), weight=weight)
    return PackedBatch(input_ids, position_ids, block, [target])


def instruction_sampler(
    tokenizer: Any, instructions: Sequence[PromptAndResponse], batch_size: int, weight: float = 1.0
) -> Callable[[np.random.Generator], list[PackedBatch]]:
    """``sample(rng)``: one batch of ``batch_size`` instructions, drawn without replacement within the batch;
    ``weight`` of its loss.
    """
    pairs = encode_instructions(tokenizer, instructions)
    if batch_size > len(pairs):
        raise ValueError(f"a batch of {batch_size} instructions needs at least as many, got {len(pairs)}")

    def sample(rng: np.random.Generator) -> list[PackedBatch]:
        drawn = [pairs[i] for i in rng.choice(len(pairs), batch_size, replace=False)]
        return [pack_instructions(drawn, tokenizer.pad_token_id, weight=weight)]

    return sample


@torch.no_grad()
def exact_matches(
    model: CausalLM, tokenizer: Any, instructions: Sequence[PromptAndResponse], batch_size: int = 200
) -> torch.Tensor:
    """Whether greedy decoding gives the response and then stops, [instruction] bool.

    One forward pass a batch is enough: as long as every token so far was right, the model's own text is the
    reference, so greedy decoding reproduces the response exactly if each argmax given the reference before it
    is right.
    """
    model.eval()
    pairs = encode_instructions(tokenizer, instructions)
    matches = []
    for start in range(0, len(pairs), batch_size):
        batch = pack_instructions(pairs[start : start + batch_size], tokenizer.pad_token_id)
        (result,) = target_results(model, batch)
        right = torch.ones(len(batch.input_ids), dtype=torch.bool)
        right[batch.targets[0].rows[~result.correct]] = False
        matches.append(right)
    return torch.cat(matches)
