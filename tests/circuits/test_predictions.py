"""The predictions frame against one forward a prompt and circuit, over two prompt layouts at once."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from naive.prompts import circuit_logits, layout_means, shuffled, tiny_checkpoint, word_ids

from circuit_distillation.circuits.predictions import prediction_frame
from circuit_distillation.circuits.random_circuits import random_circuits
from circuit_distillation.models.architecture import architecture
from circuit_distillation.tasks import get_task

TASK = get_task("tom", instruction="none", templates=("no_visibility", "both_see"))
HEADS, N_RANDOM, SEED = [(0, 1), (1, 0), (1, 3)], 2, 5
NAMES = ["full", "circuit", "random_00", "random_01"]


@pytest.fixture(scope="module")
def case():
    """(checkpoint, test, means, frame)"""
    checkpoint, means = tiny_checkpoint(TASK), TASK.generate(4, 1)
    test = shuffled(TASK.generate(4, 2))
    return checkpoint, test, means, prediction_frame(checkpoint, test, means, HEADS, N_RANDOM, SEED)


def masks(checkpoint) -> torch.Tensor:
    """[full, circuit, random ones] x layer x head."""
    shape = architecture(checkpoint.model)
    circuit = torch.zeros(2, 4, dtype=torch.bool)
    for head in HEADS:
        circuit[head] = True
    full = torch.ones(2, 4, dtype=torch.bool)
    return torch.cat([torch.stack([full, circuit]), random_circuits(shape, HEADS, N_RANDOM, seed=SEED)])


def test_every_row_is_what_one_forward_a_circuit_gives(case) -> None:
    checkpoint, test, means, frame = case
    theirs = layout_means(checkpoint, means)
    for example, row in zip(test, frame.to_dict("records"), strict=True):
        (answer,) = word_ids(checkpoint, [example.answer])
        candidates = word_ids(checkpoint, example.candidates)
        for name, mask in zip(NAMES, masks(checkpoint), strict=True):
            logits = circuit_logits(checkpoint, example, theirs, mask)
            top = int(logits.argmax())
            assert row[f"{name}_predicted"] == checkpoint.tokenizer.decode([top]).strip()
            assert row[f"{name}_correct"] == (top == answer)
            if name in ("full", "circuit"):
                best = candidates[int(logits[candidates].argmax())]
                assert row[f"{name}_candidate_correct"] == (best == answer)
                log_prob = float(logits.log_softmax(-1)[answer])
                assert row[f"{name}_log_prob"] == pytest.approx(log_prob, abs=1e-5)  # stored in float32
    assert frame["full_candidate_correct"].nunique() == 2  # right and wrong answers both occur


def test_rows_keep_their_examples_and_columns_their_types(case) -> None:
    _, test, _, frame = case
    for column in ("example_id", "group_id", "template", "cell", "answer"):
        assert frame[column].tolist() == [getattr(example, column) for example in test]
    assert frame["template"].nunique() == 2
    outcomes = [f"{name}_{kind}" for name in NAMES[:2] for kind in ("correct", "candidate_correct")]
    outcomes += [f"{name}_correct" for name in NAMES[2:]]
    assert all(frame[column].dtype == bool for column in outcomes)
    assert set(frame.columns) == {
        *("example_id", "group_id", "template", "cell", "answer"),
        *(f"{name}_predicted" for name in NAMES),
        *(f"{name}_log_prob" for name in NAMES[:2]),
        *outcomes,
    }


def test_what_is_right_is_counted_right(case) -> None:
    checkpoint, test, means, frame = case
    said = [
        type(example)(**vars(example) | {"answer": word, "candidates": (word, "unknown")})
        for example, word in zip(test, frame["circuit_predicted"], strict=True)
        if word.isalpha() and word != "unknown"
    ]
    assert said
    again = prediction_frame(checkpoint, said, means, HEADS, 1, SEED)
    assert again["circuit_correct"].all() and again["circuit_candidate_correct"].all()


def test_the_order_of_prompts_changes_nothing(case) -> None:
    checkpoint, test, means, frame = case
    again = prediction_frame(checkpoint, test[::-1], means, HEADS, N_RANDOM, SEED)
    pd.testing.assert_frame_equal(again[::-1].reset_index(drop=True), frame, atol=1e-6)


def test_a_layout_without_means_is_refused(case) -> None:
    checkpoint, test, means, _ = case
    with pytest.raises(ValueError, match="the means split has no prompt of"):
        one_layout = [example for example in means if example.template == "both_see"]
        prediction_frame(checkpoint, test, one_layout, HEADS, 1, SEED)
