"""The recipe for tasks without one of their own: what is trained is the answer of the task's prompts."""

from __future__ import annotations

import numpy as np
import pytest
from training.pruned_students import PRUNED

from circuit_distillation.models.mini import build_model, build_tokenizer
from circuit_distillation.tasks import instructions
from circuit_distillation.training.prompt_recipe import PromptRecipe
from circuit_distillation.training.recipe import run_phases
from circuit_distillation.training.recipe_settings import PromptPretraining, PromptTuning

ROLE = {"learning_rate": 3e-3, "target_accuracy": 0.0, "must_reach_target": True}
ROLES = {"small": ROLE, "medium": ROLE, "large": ROLE}
COMMON = {"prompts_per_step": 6, "lasso": 0.1, "max_steps": 20, "validation_prompts": 20}
TUNING = {"corpus_batch": 9, "corpus_only_steps": 2, "in_domain_share": 0.4, "lasso": 0.0}
TUNING |= {"max_steps": 2, "validation_prompts": 20}


@pytest.fixture(scope="module")
def recipe() -> PromptRecipe:
    return PromptRecipe("sally", PromptPretraining(common=COMMON, **ROLES, pruned=PRUNED))


@pytest.fixture(scope="module")
def tokenizer(recipe):
    return build_tokenizer(recipe.words())


def test_the_label_is_the_answer_after_the_whole_prompt(recipe, tokenizer):
    (phase,) = recipe.pretraining(tokenizer, "small", 0)
    (batch,) = phase.sample(np.random.default_rng(0))
    (target,) = batch.targets
    assert target.name == "answer" and batch.input_ids.shape[0] == len(target.labels) == 6
    for row, (col, label) in enumerate(zip(target.cols.tolist(), target.labels.tolist(), strict=True)):
        text = tokenizer.decode(batch.input_ids[row, : col + 1])
        first, second = (text.split(word)[1].split()[0] for word in (" in the ", " to the "))
        asked, owner = text.split("does ")[1].split()[0], text.split(" puts")[0].split()[-1]
        away = "leaves" in text and asked == owner
        assert text.endswith("Answer :") and tokenizer.decode([label]) == (first if away else second)


def test_training_goes_on_until_the_mark(recipe, tokenizer):
    model = build_model("small", tokenizer, 0)
    (summary,) = run_phases(model, recipe.pretraining(tokenizer, "small", 0), "base small")
    assert summary["step"] == 20 and len(summary["curve"]) == 1  # reached at the first look
    scores = recipe.accuracies(model, tokenizer, 0)
    assert set(scores) == {"accuracy", "away", "mover", "present"}
    assert scores["accuracy"] == pytest.approx((2 * scores["mover"] + scores["away"] + scores["present"]) / 4)


def test_the_mixture_holds_the_share_of_prompts(tokenizer):
    recipe = PromptRecipe("sally", PromptTuning(common=TUNING, **ROLES))
    corpus = instructions.generate(30, 0)
    (phase,) = recipe.tuning(tokenizer, "small", 0, corpus, corpus_only=False)
    of_corpus, of_task = phase.sample(np.random.default_rng(0))
    assert [batch.input_ids.shape[0] for batch in (of_corpus, of_task)] == [9, 6]
    (alone,) = recipe.tuning(tokenizer, "small", 0, corpus, corpus_only=True)
    assert alone.stop is None and len(alone.sample(np.random.default_rng(0))) == 1
