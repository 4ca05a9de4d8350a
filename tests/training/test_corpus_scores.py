from __future__ import annotations

import pytest

from circuit_distillation.models.mini import build_model, build_tokenizer
from circuit_distillation.tasks import arithmetic
from circuit_distillation.tasks.corpus import Instruction
from circuit_distillation.training.corpus_scores import corpus_scores, guess_rates, token_accuracy
from circuit_distillation.training.packed_instructions import instruction_sampler
from circuit_distillation.training.pretraining import TrainSettings, train_on


def instruction(kind: str, response: str, prompt: str = "1 + 1\nAnswer:") -> Instruction:
    return Instruction(kind, prompt, response, prompt)


def test_guessing_is_the_most_frequent_response_of_a_kind():
    instructions = [instruction("add", r) for r in (" 2", " 2", " 3", " 4")] + [instruction("sub", " 0")]
    assert guess_rates(instructions) == {"add": 0.5, "sub": 1.0}


def test_a_corpus_learned_by_heart_scores_one_and_a_fresh_model_none():
    tokenizer = build_tokenizer(arithmetic.vocabulary())
    model = build_model("small", tokenizer, seed=0)
    known = [instruction("add", " 1 + 1 = 2"), instruction("sub", " 2 - 1 = 1", "2 - 1\nAnswer:")]
    foreign = [instruction("add", " 7 + 1 = 8", "7 + 1\nAnswer:")]
    assert corpus_scores(model, tokenizer, known)["corpus_exact"] == 0
    settings = TrainSettings(3e-3, max_steps=40, warmup_steps=5)
    train_on(model, instruction_sampler(tokenizer, known, 2), settings)
    scores = corpus_scores(model, tokenizer, known + foreign)
    assert scores["corpus_exact_by_kind"] == {"add": 0.5, "sub": 1.0}
    assert scores["corpus_exact"] == pytest.approx(2 / 3) and scores["corpus_n"] == 3
    # one of two responses of a kind, and the only one of the other
    assert scores["corpus_guess"] == pytest.approx(2 / 3)
    assert token_accuracy(model, tokenizer, known) == 1
    assert 2 * 6 / 18 < scores["corpus_token_accuracy"] < 1
