"""A trial and what was transferred, on tiny random models; the names that a trial may change."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from circuit_distillation.arms import ARMS
from circuit_distillation.circuits.effects import ablation_frames
from circuit_distillation.mapping.effects import Effects, features_from_frame
from circuit_distillation.mapping.settings import MappingSettings
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.models.mini import build_model, build_tokenizer
from circuit_distillation.study.transfer import FAMILIAR, NOVEL, prompts_of, transfer_row
from circuit_distillation.study.trials import HeadSide, TrialCase, run_trial, split_changes
from circuit_distillation.tasks import get_task
from circuit_distillation.training.arm_settings import arm_settings


@pytest.fixture(scope="module")
def case() -> TrialCase:
    """An untrained student and an untrained teacher on stories."""
    task = get_task("tom", instruction="none")
    tokenizer = build_tokenizer(task.vocabulary())
    student, teacher = (
        Checkpoint(build_model(role, tokenizer, seed=seed).eval(), tokenizer)
        for role, seed in (("small", 0), ("medium", 1))
    )
    prompts = {
        name: task.generate(n, f"{name}") for name, n in (("train", 4), ("validation", 3), ("means", 4))
    }
    circuit = {"heads": [[0, 1], [1, 2]], "stages": {}, "model_hash": "x", "role": "small"}
    sides = []
    for checkpoint in (student, teacher):
        effects, features = ablation_frames(checkpoint, prompts["validation"], prompts["means"])
        sides.append(HeadSide(Effects.from_frame(effects), circuit, features_from_frame(features)))
    values = {"epochs": 1, "batch_size": 8, "learning_rate_heads": 1e-2, "warmup_steps": 0}
    settings = {name: arm_settings(ARMS[name], values, 0) for name in ("circuit_ce", "circuit_ce_align_cka")}
    return TrialCase(student, teacher, *prompts.values(), *sides, MappingSettings(fraction=0.1), settings)


def test_a_trial_scores_a_copy_and_leaves_the_student_alone(case):
    before = {name: value.clone() for name, value in case.student.model.state_dict().items()}
    row = run_trial(case, "circuit_ce_align_cka", {"cka_weight": 0.5, "fraction": 0.05, "rule": "cka"})
    assert json.loads(row["changes"]) == {"cka_weight": 0.5, "fraction": 0.05, "rule": "cka"}
    assert (row["n_heads"], row["steps"], row["n_validation"]) == (2, 2, len(case.validation))
    assert np.isfinite([row["ce"], row["similarity"], row["noise_floor"]]).all()
    after = case.student.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_trial_follows_its_changes_and_repeats(case):
    quiet, loud = ({"learning_rate_heads": rate} for rate in (1e-9, 1e-1))
    first, again, other = (run_trial(case, "circuit_ce", changes) for changes in (quiet, quiet, loud))
    seconds = ("seconds",)
    same = pd.Series(first).drop(list(seconds)).equals(pd.Series(again).drop(list(seconds)))
    assert same and first["ce"] != other["ce"]


def test_a_trial_of_fewer_prompts_sees_the_first_of_them(case):
    half = len(case.train) // 2
    changes = {"learning_rate_heads": 1e-2, "batch_size": half}
    scarce = run_trial(case, "circuit_ce", changes | {"n_train": half})
    cut = run_trial(replace(case, train=case.train[:half], _signals={}), "circuit_ce", changes)
    assert (scarce["ce"], scarce["steps"]) == (cut["ce"], 1)
    with pytest.raises(ValueError, match="of which there are"):
        run_trial(case, "circuit_ce", {"n_train": 1000})


def test_changes_are_told_apart_and_others_refused():
    training, mapping = split_changes(
        {"learning_rate_heads": 1e-3, "rule": "cka", "fraction": 0.2, "rows": "all"}
    )
    assert training == {"learning_rate_heads": 1e-3, "rows": "all"} and mapping == {
        "rule": "cka",
        "fraction": 0.2,
    }
    with pytest.raises(ValueError, match="cannot change 'seed'"):
        split_changes({"seed": 3})


def test_a_student_that_is_its_teacher_shares_everything(case):
    pairs = [
        {"student": [0, 1], "teacher": [0, 1], "student_impact": -3.0},
        {"student": [2, 3], "teacher": [2, 3], "student_impact": 1.0},
    ]
    mapping = {"student_heads": [[0, 1], [2, 3]], "pairs": pairs, "random_pairs": pairs[:1]}
    circuit, base = {"heads": [[0, 1], [3, 3]]}, {"heads": [[0, 1], [2, 0], [3, 3]]}
    familiar, novel = (prompts_of(kind, "tom", {"instruction": "none"}, 2, "0") for kind in (FAMILIAR, NOVEL))
    assert {example.template for example in familiar} <= {"neither_sees", "first_sees_second"}
    assert {example.template for example in novel} == {"decoy", "decoy_seen"}
    twin = replace(case.teacher)
    row = transfer_row(twin, case.teacher, mapping, circuit, base, case.validation, familiar, novel)
    alike = ("cka_mapped", "cka_weighted", "cka_mapped_novel", "agreement", "interchange")
    assert [row[name] for name in alike] == pytest.approx([1] * 5, abs=1e-4)
    assert row["familiar_ce"] > 0 and 0 <= row["moved"] <= 1
    assert row["trained_in_circuit"] == 0.5 and row["same_as_base"] == pytest.approx(2 / 3)
    assert row["n_circuit_heads"] == 2
