"""What a head does on a prompt, against attention of the eager model, hooks and finite differences."""

from __future__ import annotations

import pytest
import torch
from naive.prompts import layout_means, prompt_ids, tiny_checkpoint, word_ids

from circuit_distillation.circuits.head_views import N_TOP, prompt_views
from circuit_distillation.models.head_outputs import replaced_head_outputs
from circuit_distillation.tasks import get_task

HEADS = [(1, 2), (0, 1), (1, 0)]


@pytest.fixture(scope="module")
def case():
    task = get_task("entity", n_boxes=2)
    return tiny_checkpoint(task, seed=4), task.generate(3, 0), task.generate(4, 1)


@pytest.fixture(scope="module")
def views(case):
    checkpoint, examples, means = case
    return prompt_views(checkpoint, examples, means, HEADS)


def log_prob(checkpoint, example, head=None, means=None, share=1.0, token=None) -> float:
    """Of the answer; z of the head goes this share of the way to its mean, at one token or at all."""

    def edit(layer: int, z: torch.Tensor) -> torch.Tensor:
        z = z.clone()
        if head is not None and layer == head[0]:
            at = slice(None) if token is None else token
            z[0, at, head[1]] += share * (means[layer, at, head[1]] - z[0, at, head[1]])
        return z

    (answer,) = word_ids(checkpoint, [example.answer])
    with torch.no_grad(), replaced_head_outputs(checkpoint.model, edit):
        return float(checkpoint.model(prompt_ids(checkpoint, example)).logits[0, -1].log_softmax(-1)[answer])


def test_attention_and_answers_are_those_of_the_model(case, views) -> None:
    checkpoint, examples, _ = case
    checkpoint.model.set_attn_implementation("eager")
    for example, view in zip(examples, views, strict=True):
        with torch.no_grad():
            out = checkpoint.model(prompt_ids(checkpoint, example), output_attentions=True)
        assert view.predicted_id == int(out.logits[0, -1].argmax())
        assert view.probability == pytest.approx(
            torch.tensor(log_prob(checkpoint, example)).exp().item(), 1e-5
        )
        for layer, head in HEADS:
            expected = out.attentions[layer][0, head].float()
            torch.testing.assert_close(view.heads[layer, head].attention, expected, rtol=0, atol=1e-5)


def test_changes_are_those_of_ablation_everywhere_and_of_a_small_step_at_a_token(case, views) -> None:
    checkpoint, examples, means = case
    for example, view in zip(examples[:2], views, strict=False):
        mean = next(iter(layout_means(checkpoint, means).values()))
        clean = log_prob(checkpoint, example)
        for head in HEADS:
            found = view.heads[head]
            assert found.ablated == pytest.approx(log_prob(checkpoint, example, head, mean) - clean, abs=1e-5)
            for token in (0, 4, len(found.by_token) - 1):
                ends = [log_prob(checkpoint, example, head, mean, step, token) for step in (0.01, -0.01)]
                slope = (ends[0] - ends[1]) / 0.02  # attention is computed in float32: no smaller step
                assert float(found.by_token[token]) == pytest.approx(slope, abs=1e-4)


def test_the_lens_is_the_output_through_norm_and_unembedding(case, views) -> None:
    checkpoint, examples, _ = case
    model, kept = checkpoint.model, {}

    def keep(layer: int, z: torch.Tensor) -> torch.Tensor:
        kept[layer] = z
        return z

    with torch.no_grad(), replaced_head_outputs(model, keep):
        hidden = []
        handle = model.model.norm.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0][0]))
        model(prompt_ids(checkpoint, examples[0]))
        handle.remove()
        (answer,) = word_ids(checkpoint, [examples[0].answer])
        for layer, head in HEADS:
            attention = model.model.layers[layer].self_attn
            d = attention.head_dim
            written = kept[layer][0, :, head] @ attention.o_proj.weight[:, head * d : (head + 1) * d].T
            scale = (hidden[0].pow(2).mean(-1, keepdim=True) + model.model.norm.variance_epsilon).rsqrt()
            logits = model.lm_head(written * scale * model.model.norm.weight)
            found = views[0].heads[layer, head]
            assert found.top_ids.tolist() == logits.topk(N_TOP).indices.tolist()
            assert found.answer_rank.tolist() == ((logits > logits[:, answer, None]).sum(-1) + 1).tolist()


def test_a_template_without_means_is_refused(case) -> None:
    checkpoint, examples, _ = case
    with pytest.raises(ValueError, match="no prompt of template 'reordered'"):
        prompt_views(checkpoint, examples, [], HEADS)
