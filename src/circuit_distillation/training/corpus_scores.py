"""Was a tuning corpus learned? Exact matches on held-out items, beside the accuracy of guessing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.tasks.corpus import Instruction
from circuit_distillation.training.packed_instructions import (
    encode_instructions,
    exact_matches,
    pack_instructions,
)
from circuit_distillation.training.packing import target_results


def corpus_scores(model: CausalLM, tokenizer: Any, held_out: Sequence[Instruction]) -> dict[str, Any]:
    """Exact greedy matches overall and by kind beside the guess, and the accuracy per response token."""
    matches = exact_matches(model, tokenizer, held_out).tolist()
    kinds = sorted({instruction.kind for instruction in held_out})
    pairs = list(zip(matches, held_out, strict=True))
    by_kind = {kind: [hit for hit, instruction in pairs if instruction.kind == kind] for kind in kinds}
    guesses = guess_rates(held_out)
    return {
        "corpus_exact": sum(matches) / len(matches),
        "corpus_exact_by_kind": {kind: sum(hits) / len(hits) for kind, hits in by_kind.items()},
        "corpus_guess": sum(guesses[kind] * len(by_kind[kind]) for kind in kinds) / len(held_out),
        "corpus_guess_by_kind": guesses,
        "corpus_token_accuracy": token_accuracy(model, tokenizer, held_out),
        "corpus_n": len(held_out),
    }


def guess_rates(instructions: Sequence[Instruction]) -> dict[str, float]:
    """By kind, the share of its most frequent response: what is right without reading the question."""
    counts: dict[str, Counter[str]] = {}
    for instruction in instructions:
        counts.setdefault(instruction.kind, Counter())[instruction.response] += 1
    return {kind: max(count.values()) / count.total() for kind, count in sorted(counts.items())}


@torch.no_grad()
def token_accuracy(
    model: CausalLM, tokenizer: Any, instructions: Sequence[Instruction], batch_size: int = 200
) -> float:
    """Share of response tokens that are the argmax given the right text before them."""
    pairs, correct = encode_instructions(tokenizer, instructions), []
    for start in range(0, len(pairs), batch_size):
        batch = pack_instructions(pairs[start : start + batch_size], tokenizer.pad_token_id)
        correct.append(target_results(model, batch)[0].correct)
    return torch.cat(correct).double().mean().item()
