"""Packed losses against the same prompts asked one at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from circuit_distillation.models.mini import build_model, build_tokenizer
from circuit_distillation.training.packing import PackedBatch, Target, block_mask, target_results

SCENE, QUESTION, N_QUESTIONS = 9, 4, 3


@pytest.fixture(scope="module")
def model():
    tokenizer = build_tokenizer([f"w{chr(97 + i)}" for i in range(20)])
    return build_model("small", tokenizer, seed=3).double().eval()


@pytest.fixture
def batch() -> PackedBatch:
    rng = np.random.default_rng(0)
    length = SCENE + QUESTION * N_QUESTIONS + 2  # two padding tokens at the end
    questions = [(k, i) for k in range(1, N_QUESTIONS + 1) for i in range(QUESTION)]
    block = torch.tensor([0] * SCENE + [k for k, _ in questions] + [-1, -1]).repeat(2, 1)
    position = torch.tensor([*range(SCENE), *[SCENE + i for _, i in questions], 0, 0]).repeat(2, 1)
    rows = torch.arange(2).repeat_interleave(N_QUESTIONS)
    cols = torch.tensor([SCENE + QUESTION * (k + 1) - 1 for k in range(N_QUESTIONS)]).repeat(2)
    labels = torch.from_numpy(rng.integers(4, 20, len(rows)))
    return PackedBatch(
        torch.from_numpy(rng.integers(4, 20, (2, length))),
        position,
        block,
        [
            Target("answer", rows, cols, labels, weight=torch.from_numpy(rng.random(len(rows)))),
            Target("early", rows, cols, labels, after_layer=2, choices=torch.arange(19, 3, -1), weight=0.5),
        ],
    )


def separate_prompt_loss(model, batch: PackedBatch) -> float:
    """The same losses from one plain forward per question, without packing."""
    total = 0.0
    for target in batch.targets:
        losses = []
        for i, (row, col, label) in enumerate(zip(target.rows, target.cols, target.labels, strict=True)):
            blocks = batch.block[row, : col + 1]
            prompt = batch.input_ids[row, : col + 1][(blocks == 0) | (blocks == batch.block[row, col])]
            output = model(prompt[None], output_hidden_states=True)
            logits = output.logits[0, -1]
            if target.after_layer is not None:
                logits = model.lm_head(model.model.norm(output.hidden_states[target.after_layer][0, -1]))
            choices = range(len(logits)) if target.choices is None else target.choices.tolist()
            log_normaliser = torch.logsumexp(torch.stack([logits[c] for c in choices]), 0)
            weight = target.weight[i] if isinstance(target.weight, torch.Tensor) else target.weight
            losses.append(weight * (log_normaliser - logits[label]))
        total += (sum(losses) / len(losses)).item()
    return total


# transformers takes the softmax of eager attention in float32 whatever the weights are
@pytest.mark.parametrize(("attention", "tolerance"), [("sdpa", 1e-9), ("eager", 1e-6)])
def test_packed_loss_equals_separate_prompts(model, batch, attention, tolerance):
    model.set_attn_implementation(attention)
    with torch.no_grad():
        expected = separate_prompt_loss(model, batch)
        found = sum(result.loss.item() for result in target_results(model, batch))
        assert found == pytest.approx(expected, abs=tolerance)


def test_questions_do_not_see_each_other():
    visible = block_mask(torch.tensor([[0, 0, 1, 1, 2, -1]]))[0, 0] == 0
    expected = ["100000", "110000", "111000", "111100", "110010", "110001"]
    assert ["".join(str(int(v)) for v in row) for row in visible] == expected


def test_correctness_is_the_argmax_over_the_whole_vocabulary(model, batch):
    batch.targets[0].labels = model_argmax(model, batch)
    assert target_results(model, batch)[0].correct.all()


def model_argmax(model, batch: PackedBatch) -> torch.Tensor:
    target = batch.targets[0]
    mask = block_mask(batch.block, model.dtype)
    output = model(batch.input_ids, attention_mask=mask, position_ids=batch.position_ids)
    return output.logits.argmax(-1)[target.rows, target.cols]


def test_bad_targets_are_refused(model, batch):
    batch.targets[1].after_layer = 4
    with pytest.raises(ValueError, match="after_layer 4 not in 1 to 3"):
        target_results(model, batch)
    batch.targets[1].after_layer = 1
    batch.targets[1].choices = torch.tensor([0, 1])
    with pytest.raises(ValueError, match="not among its choices"):
        target_results(model, batch)
