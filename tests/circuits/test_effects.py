"""Ablation frames against one forward a prompt and head, over two prompt layouts at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from naive.ablation import naive_logit_diffs
from naive.prompts import circuit_logits, layout_means, prompt_ids, shuffled, tiny_checkpoint, word_ids

from circuit_distillation.circuits.effects import ablation_frames, layout_effects
from circuit_distillation.mapping.effects import Effects, features_from_frame
from circuit_distillation.models.encoding import encode
from circuit_distillation.models.head_outputs import head_outputs
from circuit_distillation.tasks import get_task

TASK = get_task("tom", instruction="none", templates=("no_visibility", "both_see"))
HEADS = [(layer, head) for layer in range(2) for head in range(4)]


@pytest.fixture(scope="module")
def case():
    """(checkpoint, examples, means, effects, features)"""
    checkpoint, means = tiny_checkpoint(TASK), TASK.generate(4, 1)
    examples = shuffled(TASK.generate(4, 2))
    return checkpoint, examples, means, *ablation_frames(checkpoint, examples, means)


def without(*heads: tuple[int, int]) -> torch.Tensor:
    mask = torch.ones(2, 4, dtype=torch.bool)
    for head in heads:
        mask[head] = False
    return mask


def test_effects_are_what_one_forward_a_head_gives(case) -> None:
    checkpoint, examples, means, effects, _ = case
    stored, theirs = effects.set_index(["layer", "head", "example_id"]), layout_means(checkpoint, means)
    assert len(stored) == (1 + len(HEADS)) * len(examples) and stored.index.is_unique
    for example in examples:
        candidates = word_ids(checkpoint, example.candidates)
        (answer,) = word_ids(checkpoint, [example.answer])
        for head in [(-1, -1), *HEADS]:
            row = stored.loc[(*head, example.example_id)]
            mask = without() if head == (-1, -1) else without(head)
            logits = circuit_logits(checkpoint, example, theirs, mask)
            margin = naive_logit_diffs(logits[None], torch.tensor([answer]), torch.tensor([candidates]))
            assert row["log_prob"] == pytest.approx(float(logits.log_softmax(-1)[answer]), abs=1e-9)
            assert row["correct"] == (int(logits.argmax()) == answer)
            assert row["logit_diff"] == pytest.approx(float(margin), abs=1e-9)
            assert row["group_id"] == example.group_id
    assert effects["logit_diff"].gt(0).any() and effects["logit_diff"].lt(0).any()


def test_a_sweep_says_what_it_cost_also_once_stored(case, tmp_path) -> None:
    *_, effects, _ = case
    effects.to_parquet(tmp_path / "effects.parquet")
    cost = pd.read_parquet(tmp_path / "effects.parquet").attrs["cost"]
    assert cost == effects.attrs["cost"]
    n = effects["example_id"].nunique()
    assert cost["naive_forward_equivalents"] == n * (len(HEADS) + 1)
    assert 0 < cost["forward_equivalents"] < n * (len(HEADS) + 1) and cost["seconds"] > 0


def test_effects_come_in_the_order_of_the_prompts(case) -> None:
    checkpoint, examples, means, effects, _ = case
    found = layout_effects(
        checkpoint.model, encode(checkpoint.tokenizer, examples), encode(checkpoint.tokenizer, means)
    )
    at_head = effects[(effects["layer"] == 1) & (effects["head"] == 2)]
    assert at_head["example_id"].tolist() == [example.example_id for example in examples]
    assert at_head["log_prob"].tolist() == found.log_prob[1, 2].tolist()
    unablated = effects[effects["layer"] == -1]
    assert unablated["logit_diff"].tolist() == found.base_logit_diff.tolist()


def test_features_are_the_head_outputs_at_the_last_token(case) -> None:
    checkpoint, examples, _, _, features = case
    stored = features.set_index(["layer", "head", "example_id"])["z"]
    assert len(stored) == len(HEADS) * len(examples)
    for example in examples:
        z = head_outputs(checkpoint.model, prompt_ids(checkpoint, example))[:, 0, -1]  # [layer, head, d_head]
        for head in HEADS:
            np.testing.assert_allclose(stored[(*head, example.example_id)], z[head], atol=1e-6)  # float32


def test_the_mapping_reads_what_is_stored(case) -> None:
    _, examples, _, effects, features = case
    read = Effects.from_frame(effects)
    assert read.shape == (2, 4) and set(read.ablated) == {"log_prob", "correct", "logit_diff"}
    order = sorted(range(len(examples)), key=lambda index: examples[index].example_id)
    at_head = effects[(effects["layer"] == 1) & (effects["head"] == 2)]
    assert read.ablated["log_prob"][1, 2].tolist() == at_head["log_prob"].to_numpy()[order].tolist()
    assert features_from_frame(features)[1, 2].shape == (len(examples), 8)
