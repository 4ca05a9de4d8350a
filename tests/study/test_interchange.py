"""Exchanged head outputs against hooks on one prompt at a time; models that agree and models that do not."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from math import isnan

import pytest
import torch

from circuit_distillation.models.architecture import architecture, decoder_layers
from circuit_distillation.models.encoding import encode
from circuit_distillation.models.mini import build_model, build_tokenizer
from circuit_distillation.study.interchange import Side, exchanged_answers, interchange_accuracy
from circuit_distillation.tasks import get_task
from circuit_distillation.training.teacher_cache import teacher_signals

HEADS = [(0, 1), (3, 0), (3, 5)]


@pytest.fixture(scope="module")
def side() -> Side:
    """A random model whose last heads are loud enough that exchanging them changes answers."""
    task = get_task("tom", instruction="none")
    tokenizer = build_tokenizer(task.vocabulary())
    model = build_model("small", tokenizer, seed=0).double().eval()
    with torch.no_grad():
        decoder_layers(model)[3].self_attn.o_proj.weight.mul_(1000)
    encoded, shape = encode(tokenizer, task.generate(4, "interchange")), architecture(model)
    sites = [(layer, head) for layer in range(shape.n_layers) for head in range(shape.n_heads)]
    return Side(model, encoded, teacher_signals(model, encoded, sites), HEADS)


def one_at_a_time(side: Side) -> list[int]:
    """The same with whole head outputs recorded and written by hand, prompt by prompt."""
    shape, ids = architecture(side.model), side.encoded.input_ids
    answers = []
    for i in range(len(ids)):
        seen: dict[int, torch.Tensor] = {}

        def note(layer, _, args):
            seen[layer] = args[0].clone()

        def write(layer, _, args):
            z = args[0].clone()
            for head in (head for of_layer, head in side.heads if of_layer == layer):
                columns = slice(head * shape.d_head, (head + 1) * shape.d_head)
                z[0, -1, columns] = seen[layer][0, -1, columns]
            return (z,)

        j = (i + len(ids) // 2 + 1) % len(ids)
        for row, hook in ((j, note), (i, write)):
            logits = _with_hooks(side.model, hook, ids[row : row + 1])
        answers.append(int(logits[0, -1].argmax()))
    return answers


def _with_hooks(model, hook, ids):
    handles = [
        block.self_attn.o_proj.register_forward_pre_hook(partial(hook, layer))
        for layer, block in enumerate(decoder_layers(model))
    ]
    logits = model(input_ids=ids).logits
    for handle in handles:
        handle.remove()
    return logits


@torch.no_grad()
def test_the_exchange_is_that_of_one_prompt_at_a_time(side):
    exchanged = exchanged_answers(side)
    assert exchanged.tolist() == one_at_a_time(side)
    assert (exchanged != side.signals.labels).any()  # else the test would see nothing


def test_the_control_exchanges_as_many_heads_that_are_not_mapped(side):
    theirs = exchanged_answers(side)
    moved = theirs != side.signals.labels
    others = sorted(set(side.signals.features) - set(HEADS))
    expected = [
        (exchanged_answers(replace(side, heads=random.Random(draw).sample(others, 3))) == theirs)[moved]
        for draw in range(5)
    ]
    found = interchange_accuracy(side, side)["interchange_control"]
    assert found == pytest.approx(float(torch.stack(expected).double().mean()))
    assert found < 1.0  # heads that are not mapped do not do what mapped ones do


def test_a_model_agrees_with_itself_and_not_where_only_the_teacher_moves(side):
    assert interchange_accuracy(side, side)["interchange_moved"] == 1.0
    found = interchange_accuracy(replace(side, heads=[]), side)
    assert found["interchange_moved"] == 0.0
    assert found["interchange"] == pytest.approx(1 - found["moved"])


def test_heads_that_change_nothing_have_no_moved_prompts(side):
    still = replace(side, heads=[])
    found = interchange_accuracy(still, still)
    assert (found["interchange"], found["moved"]) == (1.0, 0.0) and isnan(found["interchange_moved"])
