"""Score a loaded model on held-out items of a corpus: exact answers and right tokens, beside guessing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.tasks.corpus import Instruction
from circuit_distillation.training.corpus_scores import guess_rates
from circuit_distillation.training.tuning_tokens import tokenise


@torch.no_grad()
def tuning_scores(
    model: CausalLM, tokenizer: Any, items: Sequence[Instruction], max_tokens: int, batch_size: int = 16
) -> dict[str, float]:
    """corpus_exact, corpus_token_accuracy, corpus_guess and corpus_n over the items of at most `max_tokens`.

    An item is exact if every argmax given the response before it is right, which is what greedy decoding
    gives. corpus_guess: the share of each kind's most frequent response, which takes no reading.
    """
    corpus = tokenise(tokenizer, items, max_tokens)
    exact = right = n_tokens = 0
    ordered = corpus.by_length(np.arange(len(corpus)))
    for start in range(0, len(corpus), batch_size):
        hits, wanted = _hits(model, **corpus.batch(ordered[start : start + batch_size]))
        exact += int((hits | ~wanted).all(1).sum())
        right += int(hits.sum())
        n_tokens += int(wanted.sum())
    kept = [items[index] for index in corpus.kept]
    rates = guess_rates(kept)
    return {
        "corpus_exact": exact / len(corpus),
        "corpus_token_accuracy": right / n_tokens,
        "corpus_guess": sum(rates[item.kind] for item in kept) / len(kept),
        "corpus_n": len(corpus),
    }


def _hits(
    model: CausalLM, input_ids: Tensor, attention_mask: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Where the argmax is the response token, and where there is one, [item, token - 1] on the CPU."""
    device = next(model.parameters()).device
    inputs = {"input_ids": input_ids.to(device), "attention_mask": attention_mask.to(device)}
    hidden = model.model(**inputs, use_cache=False).last_hidden_state[:, :-1]
    labels = labels[:, 1:]  # the token before predicts
    where = labels != -100
    hits = torch.zeros_like(where)
    hits[where] = model.lm_head(hidden[where.to(device)]).argmax(-1).cpu() == labels[where]
    return hits, where
