from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from circuit_distillation.models.mini import build_model, build_tokenizer
from circuit_distillation.tasks.entity_tracking import EntityTracking
from circuit_distillation.training.entity_recipe import accuracy_on, scene_sampler
from circuit_distillation.training.packed_entity import EntityPacker
from circuit_distillation.training.pretraining import (
    StopRule,
    TrainSettings,
    answer_accuracy,
    group_lasso,
    log_group_lasso,
    train_on,
)

TOKENIZER = build_tokenizer(EntityTracking().vocabulary())
PACKER = EntityPacker(TOKENIZER, max_boxes=3)
SAMPLE = scene_sampler(PACKER, range(2, 4), 1, lambda k: 12 // k)


def fresh():
    return build_model("small", TOKENIZER, seed=0)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    models = [fresh() for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        train_on(model, SAMPLE, TrainSettings(1e-3, max_steps=3, seed=seed))
    states = [model.state_dict() for model in models]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["lm_head.weight"], states[2]["lm_head.weight"])


def test_training_lowers_the_loss_of_every_target():
    history = train_on(fresh(), SAMPLE, TrainSettings(3e-3, max_steps=30, seed=0, warmup_steps=5))
    for name in ("answer", "object_of_box", "letter_in_question"):
        first, last = (np.mean([row[name] for row in rows]) for rows in (history[:5], history[-5:]))
        assert last < first
    assert [row["step"] for row in history] == list(range(1, 31))
    assert history[0]["lr"] == pytest.approx(6e-4) and history[-1]["lr"] == 3e-3


def test_the_rate_rises_stays_and_falls_as_one_over_the_step():
    settings = TrainSettings(1e-3, max_steps=100, warmup_steps=4, constant_steps=10)
    rates = [settings.rate(step) for step in (1, 4, 10, 20, 40)]
    assert rates == pytest.approx([2.5e-4, 1e-3, 1e-3, 5e-4, 2.5e-4])


def test_group_lasso_is_the_sum_of_the_heads_norms():
    model = fresh()
    expected = 0.0
    for layer in model.model.layers:
        weight = layer.self_attn.o_proj.weight.detach()
        for head in range(8):
            expected += math.sqrt(sum(float(w) ** 2 for w in weight[:, 32 * head : 32 * head + 32].flatten()))
    assert group_lasso(model).item() == pytest.approx(expected, rel=1e-5)


def test_log_lasso_presses_on_weak_heads_more_than_on_strong_ones():
    model = fresh()
    weight = model.model.layers[0].self_attn.o_proj.weight  # [d_model, head * d_head]
    with torch.no_grad():
        weight[:, :32] *= 0.02 / weight[:, :32].norm()
        weight[:, 32:64] *= 1.9 / weight[:, 32:64].norm()
    log_group_lasso(model).backward()
    weak, strong = weight.grad[:, :32].norm(), weight.grad[:, 32:64].norm()
    assert (weak.item(), strong.item()) == pytest.approx((1 / 0.12, 1 / 2.0), rel=1e-4)


def test_a_strong_lasso_shrinks_heads():
    norms = []
    for lasso in (0.0, 10.0):
        model = fresh()
        train_on(model, SAMPLE, TrainSettings(1e-3, max_steps=10, lasso=lasso, warmup_steps=1))
        norms.append(group_lasso(model).item())
    assert norms[1] < 0.9 * norms[0]


def test_a_coarse_check_gates_the_final_one_which_alone_decides():
    asked = []

    def accuracy(model, n):
        asked.append(n)
        return 0.75 if n == 100 else [0.6, 0.7][asked.count(1000) - 1]

    rule = StopRule(accuracy, target=0.7, every=2, first_step=4, n_coarse=100, n_final=1000)
    history = train_on(fresh(), SAMPLE, TrainSettings(1e-3, max_steps=20), stop=rule)
    assert asked == [100, 1000, 100, 1000]
    measured = {row["step"]: row["validation_accuracy"] for row in history if row["validation_accuracy"] >= 0}
    assert measured == {4: 0.6, 6: 0.7} and len(history) == 6


def test_a_poor_coarse_check_spares_the_final_one():
    rule = StopRule(lambda model, n: 0.5 if n == 100 else 1.0, target=0.7, every=1, n_coarse=100)
    assert rule.check(fresh()) == (0.5, False)


def test_far_from_its_target_a_rule_looks_less_often():
    accuracy = iter([0.2, 0.55, 0.65])
    limits = {"every": 1, "coarse_margin": 0.0, "far": 0.1, "required": False}
    rule = StopRule(lambda model, n: next(accuracy), target=0.7, **limits)
    history = train_on(fresh(), SAMPLE, TrainSettings(1e-3, max_steps=7), stop=rule)
    assert [row["step"] for row in history if row["validation_accuracy"] >= 0] == [1, 4, 7]


def test_a_required_accuracy_that_is_never_reached_is_an_error():
    rule = StopRule(lambda model, n: 0.25, target=0.9, every=1)
    with pytest.raises(RuntimeError, match="accuracy 0.250 at step 2 is below 0.9"):
        train_on(fresh(), SAMPLE, TrainSettings(1e-3, max_steps=2), stop=rule)


def test_accuracy_over_the_first_n_prompts_counts_argmaxes_of_separate_prompts():
    model = fresh().eval()
    objects, letters = PACKER.random_scenes(np.random.default_rng([4, 3]), 50, 3)
    batch = PACKER.pack(objects, letters)
    answer, right = batch.targets[0], 0
    for i in range(20):
        row, own = answer.rows[i], batch.block[answer.rows[i], answer.cols[i]]
        prompt = batch.input_ids[row][(batch.block[row] == 0) | (batch.block[row] == own)]
        right += int(model(prompt[None]).logits[0, -1].argmax() == answer.labels[i])
    answer.labels[0] = model(batch.input_ids[:1, :1]).logits[0, 0].argmax()
    assert accuracy_on(PACKER, 3, seed=4)(model, 20) == pytest.approx(right / 20)
    assert answer_accuracy(model, [batch], 20) in {right / 20, (right - 1) / 20, (right + 1) / 20}
