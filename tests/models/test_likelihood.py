"""Likelihoods of options against one forward an option by hand (attention has its softmax in float32)."""

from __future__ import annotations

import pytest
import torch
from naive.tiny_models import tiny_model
from standins import train_bpe

from circuit_distillation.models.likelihood import choice_frame, option_scores
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.tasks.held_out import Choice

OPTIONS = ("the blue box", "a very long red crate", "pot")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    tokenizer = train_bpe(400)
    return Checkpoint(tiny_model(n_layers=2, vocab_size=len(tokenizer), n_positions=128), tokenizer)


def naive_score(checkpoint: Checkpoint, prompt: str, option: str) -> tuple[float, int]:
    start = checkpoint.tokenizer(prompt).input_ids
    ending = checkpoint.tokenizer(f" {option}", add_special_tokens=False).input_ids
    with torch.no_grad():
        log_p = checkpoint.model(input_ids=torch.tensor([start + ending])).logits[0].log_softmax(-1)
    return sum(float(log_p[len(start) + k - 1, token]) for k, token in enumerate(ending)), len(ending)


def test_options_of_several_lengths_score_as_one_by_one(checkpoint):
    scores, lengths = option_scores(checkpoint, "The hat is in", OPTIONS)
    for k, option in enumerate(OPTIONS):
        score, length = naive_score(checkpoint, "The hat is in", option)
        assert float(scores[k]) == pytest.approx(score, abs=1e-5) and int(lengths[k]) == length


def test_the_frame_chooses_by_likelihood_a_token_and_joins_groups(checkpoint):
    best = [score / n for score, n in (naive_score(checkpoint, "The hat is in", o) for o in OPTIONS)]
    chosen = best.index(max(best))
    wrong = (chosen + 1) % 3
    items = [
        Choice("a", "one", "true", "The hat is in", OPTIONS, chosen),
        Choice("b", "one", "false", "The hat is in", OPTIONS, wrong),
        Choice("c", "two", "true", "The hat is in", OPTIONS, chosen),
    ]
    frame = choice_frame(checkpoint, items)
    assert frame["chosen"].tolist() == [chosen] * 3
    assert frame["correct"].tolist() == [True, False, True]
    assert frame["group_correct"].tolist() == [False, False, True]
