"""Regimes on tiny random models: what every arm starts from, what is measured, the lesion."""

from __future__ import annotations

import pytest
import torch

from circuit_distillation.arms import ARMS
from circuit_distillation.circuits.acting import acting_effects
from circuit_distillation.models.encoding import encode
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.models.mini import build_model, build_tokenizer
from circuit_distillation.study.regimes import RegimeCase, lesioned, run_regime, validation_accuracy
from circuit_distillation.tasks import get_task
from circuit_distillation.training.arm_settings import arm_settings

HEADS = [(0, 1), (1, 2)]
ARMS_HERE = ("full_ce", "circuit_ce", "circuit_ce_attention", "circuit_ce_function_cka_permuted")


def settings(arm: str):
    values = {"epochs": 1, "batch_size": 8, "learning_rate_heads": 1e-2, "warmup_steps": 0}
    return arm_settings(ARMS[arm], values | dict(ARMS[arm].own), 0)


@pytest.fixture(scope="module")
def case() -> RegimeCase:
    task = get_task("tom", instruction="none")
    tokenizer = build_tokenizer(task.vocabulary())
    student, teacher = (
        Checkpoint(build_model(role, tokenizer, seed=seed).eval(), tokenizer)
        for role, seed in (("small", 0), ("medium", 1))
    )
    examples = task.generate(8, "all")
    pairs = [((0, 1), (1, 0)), ((1, 2), (2, 3))]
    return RegimeCase(
        student=student,
        teacher=teacher,
        train=examples[:16],
        validation=examples[:4],
        tests={"test": examples[16:24], "others": examples[24:]},
        heads=HEADS,
        pairs={"mapped": pairs, "function": pairs},
        acting=acting_effects(student, examples, examples, n_examples=4),
    )


def test_every_arm_is_tested_beside_base_and_teacher(case: RegimeCase) -> None:
    before = {name: value.clone() for name, value in case.student.model.state_dict().items()}
    outcomes, training = run_regime(case, {arm: settings(arm) for arm in ARMS_HERE})
    assert list(dict.fromkeys(outcomes["arm"])) == ["base", "teacher", *ARMS_HERE]
    assert outcomes.groupby("arm").size().unique().tolist() == [16]
    assert training["arm"].tolist() == list(ARMS_HERE) and training["steps"].tolist() == [2] * 4
    assert training["similarity"].isna().tolist() == [True, True, False, False]
    assert training["alignment_share"].isna().tolist() == [True, True, False, False]
    after = case.student.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_outcomes_are_those_of_the_whole_vocabulary(case: RegimeCase) -> None:
    outcomes, _ = run_regime(case, {})
    own = outcomes[(outcomes["arm"] == "base") & (outcomes["set"] == "test")]
    encoded = encode(case.student.tokenizer, case.tests["test"])
    with torch.no_grad():
        logits = case.student.model(input_ids=encoded.input_ids, attention_mask=encoded.attention_mask).logits
    top = logits[torch.arange(8), encoded.positions["last"]].argmax(-1)
    assert own["correct"].tolist() == (top == encoded.answer_ids).tolist()
    assert own["candidate"].tolist() == [t in c for t, c in zip(top.tolist(), encoded.candidate_ids.tolist())]
    seen = {example.answer for example in case.train}
    assert own["seen_answer"].tolist() == [example.answer in seen for example in case.tests["test"]]


def test_a_trial_is_scored_on_validation_prompts_alone(case: RegimeCase) -> None:
    assert validation_accuracy(case, "circuit_ce", settings("circuit_ce")) in (0.0, 0.25, 0.5, 0.75, 1.0)


def test_the_lesion_takes_the_queries_and_keys_of_the_head_that_acts_most(case: RegimeCase) -> None:
    effects = case.acting.groupby(["layer", "head"])["effect"].sum()
    layer, head = max(HEADS, key=lambda own: effects[own])
    changed = lesioned(case.student, HEADS, case.acting, seed=0).model
    differing = {
        name
        for name, value in changed.state_dict().items()
        if not torch.equal(value, case.student.model.state_dict()[name])
    }
    assert differing == {f"model.layers.{layer}.self_attn.{part}_proj.weight" for part in "qk"}
    width = case.student.model.config.head_dim
    old, new = (m.model.layers[layer].self_attn.q_proj.weight for m in (case.student.model, changed))
    rows = (old != new).any(1).nonzero().flatten().tolist()
    assert rows == list(range(head * width, (head + 1) * width))
