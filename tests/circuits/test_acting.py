"""Where heads act, against a forward with the head's output replaced at one token."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch

from circuit_distillation.circuits.acting import acting_effects, acting_masks, acting_tokens
from circuit_distillation.models.architecture import architecture
from circuit_distillation.models.encoding import encode
from circuit_distillation.models.head_outputs import head_outputs, replaced_head_outputs
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.models.mini import build_model, build_tokenizer
from circuit_distillation.tasks import get_task


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    task = get_task("entity")
    tokenizer = build_tokenizer(task.vocabulary())
    return Checkpoint(build_model("small", tokenizer, seed=0).double(), tokenizer)


@torch.no_grad()
def naive(checkpoint: Checkpoint, examples, means, head, token) -> float:
    """Mean |change of the answer's log-probability|, a forward for each."""
    model, encoded = checkpoint.model, encode(checkpoint.tokenizer, examples)
    mean = head_outputs(model, encode(checkpoint.tokenizer, means).input_ids)[head[0]].mean(0)[token, head[1]]

    def log_prob() -> torch.Tensor:
        logits = model(input_ids=encoded.input_ids).logits[:, -1].log_softmax(-1)
        return logits.gather(1, encoded.answer_ids[:, None])[:, 0]

    def edit(layer: int, z: torch.Tensor) -> torch.Tensor:
        z = z.clone()
        if layer == head[0]:
            z[:, token, head[1]] = mean
        return z

    clean = log_prob()
    with replaced_head_outputs(model, edit):
        return float((log_prob() - clean).abs().mean())


def test_effects_are_those_of_a_forward_for_each_token(checkpoint: Checkpoint) -> None:
    examples = get_task("entity").generate(8, 0)
    effects = acting_effects(checkpoint, examples[:3], examples, n_examples=2)
    tokens = encode(checkpoint.tokenizer, examples).input_ids.shape[1]
    assert len(effects) == tokens * architecture(checkpoint.model).n_total_heads
    for head, token in (((0, 3), 6), ((1, 2), 20), ((3, 7), tokens - 1)):
        row = effects.query("layer == @head[0] and head == @head[1] and token == @token")
        expected = naive(checkpoint, examples[:2], examples, head, token)
        # the norms of transformers are in float32
        assert row["effect"].item() == pytest.approx(expected, abs=2e-6)


def test_a_head_acts_where_its_effect_is_a_share_of_its_largest() -> None:
    effects = pd.DataFrame(
        {
            "template": ["a"] * 4 + ["b"] * 4,
            "layer": 0,
            "head": [0, 0, 1, 1] * 2,
            "token": [0, 1, 0, 1] * 2,
            "effect": [1.0, 0.2, 0.3, 0.0, 0.01, 0.06, 0.0, 0.0],
        }
    )
    assert acting_tokens(effects, (0, 0)) == {"a": [0, 1], "b": [1]}
    assert acting_tokens(effects, (0, 1)) == {"a": [0], "b": []}
    first = get_task("entity").generate(1, 0)[0]
    prompts = [replace(first, template="b"), replace(first, template="a")]
    masks = acting_masks(effects, prompts, n_tokens=3)
    assert masks[0, 0].tolist() == [[False, True, False], [True, True, False]]
    assert masks[0, 1].tolist() == [[False, False, False], [True, False, False]]
    with pytest.raises(ValueError, match="prompts of reordered"):
        acting_masks(effects, [first], n_tokens=3)
    with pytest.raises(ValueError, match="of another model"):
        acting_tokens(effects, (4, 0))


def test_a_template_without_prompts_for_its_means_is_refused(checkpoint: Checkpoint) -> None:
    examples = get_task("entity").generate(1, 0)
    others = [replace(example, template="other") for example in examples]
    with pytest.raises(ValueError, match="no prompt of template"):
        acting_effects(checkpoint, examples, others)
