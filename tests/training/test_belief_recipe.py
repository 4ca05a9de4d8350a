from __future__ import annotations

import numpy as np
import pytest
import torch
from training.pruned_students import PRUNED

from circuit_distillation.models.mini import build_model, build_tokenizer
from circuit_distillation.tasks import instructions
from circuit_distillation.tasks.visibility import TEMPLATES
from circuit_distillation.training.belief_layout import CELLS
from circuit_distillation.training.belief_recipe import BeliefRecipe, cell_accuracies, worst_cell_on
from circuit_distillation.training.packed_beliefs import BeliefPacker
from circuit_distillation.training.recipe import run_phases
from circuit_distillation.training.recipe_settings import BeliefPretraining, BeliefTuning

PRETRAINING = {
    "base_templates": {"neither_sees": 1.0, "first_sees_second": 1.0},
    "stories_per_step": 2,
    "lasso": 0.1,
    "consolidation_lasso": 0.5,
    "learned_accuracy": 0.0,
    "constant_steps": 150,
    "min_steps": 10,
    "max_steps": 20,
    "validation_prompts": 40,
}
TUNING = {
    "tuning_templates": dict.fromkeys(TEMPLATES, 1.0),
    "corpus_batch": 10,
    "corpus_only_steps": 2,
    "response_weight": 3.0,
    "in_domain_share": 0.5,
    "constant_steps": 150,
    "min_steps": 2,
    "validation_prompts": 40,
}


BASE = {"learning_rate": 1e-3, "log_lasso": True, "consolidation_steps": 0}
BASE |= {"consolidation_learning_rate": 5e-4}
TUNED = {"learning_rate": 1e-3, "lasso": 0.1, "max_steps": 2}
TUNED |= {"target_accuracy": 1.0, "must_reach_target": False}


def base_recipe(consolidation_steps: int = 0, **changes) -> BeliefRecipe:
    role = BASE | {"consolidation_steps": consolidation_steps}
    roles = dict.fromkeys(("small", "medium", "large"), role)
    return BeliefRecipe(BeliefPretraining(common=PRETRAINING | changes, **roles, pruned=PRUNED))


def tuning_recipe(**changes) -> BeliefRecipe:
    return BeliefRecipe(BeliefTuning(common=TUNING | changes, small=TUNED, medium=TUNED, large=TUNED))


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(base_recipe().words())


def counts(batches) -> tuple[int, int]:
    """(instructions, story prompts) in the batches of one step."""
    names = [{target.name for target in batch.targets} for batch in batches]
    n_instructions = sum(len(b.input_ids) for b, n in zip(batches, names, strict=True) if "response" in n)
    n_prompts = sum(
        len(target.labels) for batch in batches for target in batch.targets if target.name in CELLS
    )
    return n_instructions, n_prompts


@pytest.mark.parametrize("share", [0.5, 0.3])
def test_stories_are_at_most_their_share_of_the_mixture(tokenizer, share):
    corpus = instructions.generate(60, seed=0)
    (phase,) = tuning_recipe(in_domain_share=share).tuning(tokenizer, "small", 0, corpus, corpus_only=False)
    n_instructions, n_prompts = counts(phase.sample(np.random.default_rng(0)))
    assert n_instructions == 10 and 0 < n_prompts <= share * (n_prompts + n_instructions)


def test_corpus_only_holds_no_story(tokenizer):
    corpus = instructions.generate(60, seed=0)
    (phase,) = tuning_recipe().tuning(tokenizer, "small", 0, corpus, corpus_only=True)
    assert counts(phase.sample(np.random.default_rng(0))) == (10, 0)
    assert phase.settings.max_steps == 2 and phase.stop is None


def test_bases_see_the_base_templates_and_no_observer_label(tokenizer):
    (phase,) = base_recipe(stories_per_step=40).pretraining(tokenizer, "small", 0)
    (batch,) = phase.sample(np.random.default_rng(0))
    texts = {tokenizer.decode(row).split(". ", 2)[2].split("Question")[0] for row in batch.input_ids}
    names = {target.name for target in batch.targets}
    assert "observer" not in names and {"own", "seen", "unseen", "name_sight"} <= names
    assert all("cannot observe" in text.split(".")[0] for text in texts)  # the second never sees the first


def test_a_base_stops_at_its_first_check_once_it_has_learned(tokenizer):
    model = build_model("small", tokenizer, 0)
    before = model.model.embed_tokens.weight.clone()
    (summary,) = run_phases(model, base_recipe().pretraining(tokenizer, "small", 0), "test")
    assert summary["step"] == 10 and len(summary["curve"]) == 1
    assert not torch.equal(before, model.model.embed_tokens.weight)


def test_consolidation_follows_where_it_is_asked_for(tokenizer):
    learn, consolidate = base_recipe(consolidation_steps=7).pretraining(tokenizer, "small", 0)
    assert learn.stop is not None and consolidate.stop is None
    assert (consolidate.settings.max_steps, consolidate.settings.lasso) == (7, 0.5)
    assert (learn.settings.learning_rate, consolidate.settings.learning_rate) == (1e-3, 5e-4)
    assert learn.settings.log_lasso and consolidate.settings.log_lasso


def test_cell_accuracies_are_those_of_single_prompts(tokenizer):
    """Naive twin: each question as a prompt of its own, counted by the cell of its label."""
    model = build_model("small", tokenizer, 0).eval()
    packer = BeliefPacker(base_recipe().task, tokenizer, dict.fromkeys(TEMPLATES, 1.0))
    batch = packer.pack(packer.draw(np.random.default_rng([3, 30]), 30))
    with torch.no_grad():
        model.model.embed_tokens.weight[packer.unknown] += 0.5  # so that some answers are right
    correct: dict[str, list[bool]] = {cell: [] for cell in CELLS}
    for target in batch.targets:
        for row, column, label in zip(target.rows, target.cols, target.labels, strict=True):
            block = batch.block[row]
            prompt = batch.input_ids[row][(block == 0) | (block == block[column])]
            with torch.no_grad():
                correct[target.name].append(bool(model(prompt[None]).logits[0, -1].argmax() == label))
    expected = {cell: np.mean(hits) for cell, hits in correct.items()}
    assert cell_accuracies(model, packer, 30, seed=3) == pytest.approx(expected)
    assert worst_cell_on(packer, seed=3)(model, 120) == pytest.approx(min(expected.values()))


def test_accuracy_is_balanced_over_cells(tokenizer):
    model = build_model("small", tokenizer, 0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.zero_() if "proj" in name else None  # nothing is read: one answer to every question
    scores = base_recipe().accuracies(model, tokenizer, seed=0)
    assert scores["accuracy"] == pytest.approx(np.mean([scores[cell] for cell in CELLS]))
    assert {"both_see.seen", "neither_sees.unseen"} <= scores.keys() and "both_see.unseen" not in scores


def test_more_than_half_in_domain_is_refused():
    with pytest.raises(ValueError, match="less than or equal to 0.5"):
        tuning_recipe(in_domain_share=0.6)
