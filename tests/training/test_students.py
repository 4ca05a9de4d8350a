"""Pruned students against losses computed one prompt at a time, and what healing may and may not do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from training.pruned_students import SMALL
from training.test_family import PRETRAINING, ROLES

from circuit_distillation.training.family import pretrain, prune_family, recipe_of
from circuit_distillation.training.packing import target_results
from circuit_distillation.training.student_settings import PrunedStudent
from circuit_distillation.training.students import pruned_student, with_parent


@pytest.fixture(scope="module")
def recipe():
    return recipe_of("entity", PRETRAINING)


@pytest.fixture(scope="module")
def large():
    return pretrain("entity", "large", 0, PRETRAINING)[0]


def test_healing_adds_the_parents_distribution_at_the_answers_and_leaves_early_exits_out(
    large, recipe
) -> None:
    sample = recipe.pretraining(large.tokenizer, "large", 0)[-1].sample
    (batch,) = with_parent(sample, large.model)(np.random.default_rng(0))
    hard, soft = batch.targets
    (plain,) = sample(np.random.default_rng(0))
    assert [target.name for target in plain.targets[1:]] == ["object_of_box", "letter_in_question"]
    assert torch.equal(hard.labels, plain.targets[0].labels) and (hard.name, soft.name) == (
        "answer",
        "large_answer",
    )
    student = pretrain("entity", "large", 1, PRETRAINING)[0].model
    row, own = soft.rows[3], batch.block[soft.rows[3], soft.cols[3]]
    prompt = batch.input_ids[row][(batch.block[row] == 0) | (batch.block[row] == own)][None]
    with torch.no_grad():
        wanted, given = (model(prompt).logits[0, -1].softmax(-1) for model in (large.model, student))
        loss = target_results(student, batch)[1].loss
        assert torch.allclose(soft.labels[3], wanted, atol=1e-5)
        soft.labels, soft.rows, soft.cols = soft.labels[3:4], soft.rows[3:4], soft.cols[3:4]
        result = target_results(student, batch)[1]
    assert result.loss.item() == pytest.approx(-(wanted * given.log()).sum().item(), rel=1e-4)
    assert result.correct.item() == (wanted.argmax() == given.argmax()).item()
    assert loss != result.loss


def test_a_student_above_its_mark_is_made_narrower_until_it_is_below(large, recipe, monkeypatch) -> None:
    looks = iter([0.9, 0.8, 0.4, 0.56, 0.7])
    monkeypatch.setattr(
        "circuit_distillation.training.pretraining.StopRule.check",
        lambda rule, model: (x := next(looks), x >= rule.target),
    )
    settings = PrunedStudent(**SMALL | {"target_accuracy": 0.6})
    student, ancestors, record = pruned_student(large, recipe, "small", 1, settings)
    assert record["hidden_size"] == student.model.config.hidden_size == 48
    assert record["pruned_accuracy"] == 0.4
    assert [point[1] for point in record["phases"][0]["curve"]] == [0.56, 0.7]
    assert len(ancestors) == 32 and {layer for layer, _ in ancestors} == {0, 1, 2, 3}


def test_healing_must_reach_the_mark(large, recipe) -> None:
    with pytest.raises(RuntimeError, match="base small, heal: accuracy .* is below 1.0"):
        pruned_student(large, recipe, "small", 1, PrunedStudent(**SMALL | {"target_accuracy": 1.0}))


@pytest.fixture(scope="module")
def family() -> tuple:
    return prune_family("entity", 0, PRETRAINING, ROLES)


def test_a_pruned_family_has_an_ancestor_for_every_head(family) -> None:
    *bases, record, ancestry = family
    assert [base.model.config.num_hidden_layers for base in bases] == [4, 6, 8]
    assert set(record["roles"]) == {"small", "medium", "large"} and set(ancestry) == {"small", "medium"}
    assert [head for head, _ in ancestry["small"]] == [
        [layer, head] for layer in range(4) for head in range(8)
    ]
    for (layer, head), (ancestor, old) in ancestry["medium"]:
        assert head == old and layer <= ancestor < 8


@pytest.mark.slow
def test_the_same_seed_prunes_the_same_family(family) -> None:
    for one, other in zip(family[:3], prune_family("entity", 0, PRETRAINING, ROLES)[:3], strict=True):
        assert torch.equal(one.model.lm_head.weight, other.model.lm_head.weight)


@pytest.mark.parametrize(
    "change",
    [
        {"target_accuracy": 1.2},
        {"max_steps": 0},
        {"depth": 4},
        {"every": 0},
        {"hidden_size": 50},
        {"hidden_size": 4096},
        {"layers": 99},
        {"layers": (3, 1)},
        {"min_steps": 60},
    ],
)
def test_settings_out_of_range_are_refused(change: dict) -> None:
    with pytest.raises(ValidationError):
        PrunedStudent(**SMALL | change)
