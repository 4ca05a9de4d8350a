"""The whole way from words to tuned models, with a few steps a phase."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from training.pruned_students import PRUNED

from circuit_distillation.tasks import arithmetic
from circuit_distillation.tasks.corpus import hold_out
from circuit_distillation.training.entity_recipe import EntityRecipe
from circuit_distillation.training.family import (
    pretrain,
    pretrain_family,
    role_seed,
    side_by_side,
    tune,
    tune_family,
)
from circuit_distillation.training.recipe_settings import EntityPretraining, EntityTuning

COMMON = dict(
    learned_accuracy=0.0,
    max_learning_steps=30,
    learning_lasso=0.1,
    consolidation_steps=1,
    consolidation_boxes=2,
    lasso=0.1,
    calibration_learning_rate=1e-4,
    max_calibration_steps=3,
    tokens_per_step=100,
    validation_prompts=350,
)
SCAFFOLDED = {"scaffold_layer": 1, "target_accuracy": 0.0}
TUNED_ROLE = {"corpus_steps": 2, "target_accuracy": 0.0}
ROLES = ("small", "medium", "large")
PRETRAINING = EntityPretraining(
    common=COMMON,
    **dict.fromkeys(ROLES, SCAFFOLDED | {"learning_rate": 1e-3}),
    pruned=PRUNED,
)
TUNING_COMMON = dict(
    corpus_learning_rate=1e-3,
    corpus_only_steps=2,
    corpus_batch=14,
    corpus_lasso=0.0,
    rehearsal_share=0.2,
    mixture_learning_rate=1e-4,
    max_mixture_steps=3,
    in_domain_share=0.5,
    lasso=0.1,
    validation_prompts=350,
)
TUNING = EntityTuning(common=TUNING_COMMON, **dict.fromkeys(ROLES, TUNED_ROLE))
CORPUS, _PROBLEMS = hold_out(arithmetic.generate(200, seed=0, max_digits=1), 0.2)
HELD_OUT = {"unseen_problems": _PROBLEMS}


@pytest.fixture(scope="module")
def base():
    return pretrain("entity", "small", 0, PRETRAINING)


def test_a_base_goes_through_its_phases_and_is_the_same_again(base):
    checkpoint, record = base
    assert [phase["phase"] for phase in record["phases"]] == ["learn", "consolidate", "calibrate"]
    assert 0 <= record["accuracy"] <= 1
    again, _ = pretrain("entity", "small", 0, PRETRAINING)
    assert torch.equal(again.model.lm_head.weight, checkpoint.model.lm_head.weight)


def test_every_role_and_seed_has_data_of_its_own():
    assert len({role_seed(role, seed) for role in ROLES for seed in range(20)}) == 60


def test_tuning_mixes_at_most_half_in_domain_prompts_and_reports_the_corpus(base):
    phases = EntityRecipe(TUNING).tuning(base[0].tokenizer, "small", 0, CORPUS, corpus_only=False)
    for phase, most in zip(phases, (3, 14), strict=True):  # 0.2 and 0.5 beside 14 instructions
        instructions, scenes = phase.sample(np.random.default_rng(0))
        assert instructions.input_ids.shape[0] == 14
        assert 0 < len(scenes.targets[0].labels) <= most
    _, record = tune(base[0], "entity", "small", 0, TUNING, CORPUS, HELD_OUT, corpus_only=True)
    assert [phase["phase"] for phase in record["phases"]] == ["arithmetic"]
    assert record["corpus"]["unseen_problems"]["corpus_n"] == len(_PROBLEMS)
    assert set(record["corpus"]["unseen_problems"]["corpus_exact_by_kind"]) <= set(arithmetic.PARTS)


def test_more_than_half_in_domain_is_refused():
    with pytest.raises(ValueError, match="less than or equal to 0.5"):
        EntityTuning(common=TUNING_COMMON | {"in_domain_share": 0.6}, **dict.fromkeys(ROLES, TUNED_ROLE))


def test_the_error_of_a_process_is_passed_on():
    with pytest.raises(ValueError, match="There is no task 'chess'"):
        side_by_side({"bad": partial(pretrain, "chess", "small", 0, PRETRAINING)}, max_workers=2)


@pytest.mark.slow
def test_a_family_is_three_bases_and_four_tuned_models():
    *bases, record = pretrain_family("entity", 0, PRETRAINING, ROLES, 2)
    assert [b.model.config.num_hidden_layers for b in bases] == [4, 6, 8]
    assert set(record["roles"]) == set(ROLES)
    direct, _ = pretrain("entity", "small", 0, PRETRAINING)  # processes change nothing
    assert torch.equal(bases[0].model.lm_head.weight, direct.model.lm_head.weight)
    roles = dict(zip(ROLES, bases, strict=True))
    *tuned, record = tune_family(roles, CORPUS, HELD_OUT, TUNING, "entity", 0, 2)
    assert [t.model.config.num_hidden_layers for t in tuned] == [4, 6, 8, 8]
    assert not torch.equal(tuned[2].model.lm_head.weight, tuned[3].model.lm_head.weight)
    assert [len(record["models"][name]["phases"]) for name in ("small", "large", "corpus_only")] == [2, 2, 1]
