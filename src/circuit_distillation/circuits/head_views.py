"""What a head does on one prompt: where it attends, what it writes, and at which tokens that matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuit_distillation.circuits.mean_ablation import head_means
from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.models.attention_inputs import RecordedAttention
from circuit_distillation.models.encoding import Encoded, encode
from circuit_distillation.models.head_outputs import replaced_head_outputs
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.tasks.example import Example

N_TOP = 5
N_MEANS = 64  # prompts of a layout that give the means


@dataclass(frozen=True)
class HeadView:
    """One head on one prompt of T tokens; all on the CPU."""

    attention: Tensor  # [T, T], rows are queries and sum to 1
    top_ids: Tensor  # [T, N_TOP], what it writes at each token: the vocabulary entries it raises most
    answer_rank: Tensor  # [T], rank of the answer among all entries, from 1
    by_token: Tensor  # [T], first-order estimate of the change, in nats, if it is ablated at that token alone
    ablated: float  # the same if it is ablated everywhere, exact


@dataclass(frozen=True)
class PromptView:
    """A model on one prompt: what it answers, the answer's probability, and the heads that were asked for."""

    predicted_id: int
    probability: float
    heads: dict[Head, HeadView]


def prompt_views(
    checkpoint: Checkpoint, examples: Sequence[Example], means: Sequence[Example], heads: Sequence[Head]
) -> list[PromptView]:
    """The heads of a model on each example.

    What a head writes is its output W_O z through the final norm, at the scale of the whole residual stream,
    and the unembedding (logit lens). "Ablated" is z set to its mean over prompts of `means` of the same
    template; the change is that of the answer's log-probability. By token it is the gradient times the
    change of z, as in attribution patching. ValueError if a template has no prompts in `means`.
    """
    mean = {
        template: _mean(checkpoint, template, means)
        for template in dict.fromkeys(example.template for example in examples)
    }
    return [_view(checkpoint, example, mean[example.template], sorted(set(heads))) for example in examples]


def _mean(checkpoint: Checkpoint, template: str, means: Sequence[Example]) -> Tensor:
    """[layer, token, head, d_head]."""
    reference = [example for example in means if example.template == template][:N_MEANS]
    if not reference:
        raise ValueError(f"the means split has no prompt of template {template!r}")
    ids = encode(checkpoint.tokenizer, reference).input_ids
    return head_means(checkpoint.model, ids.to(checkpoint.model.device))


def _view(checkpoint: Checkpoint, example: Example, mean: Tensor, heads: list[Head]) -> PromptView:
    model, device = checkpoint.model, checkpoint.model.device
    encoded = encode(checkpoint.tokenizer, [example]).to(device)
    layers, final = sorted({layer for layer, _ in heads}), _Input()
    z: dict[int, Tensor] = {}

    def keep(layer: int, outputs: Tensor) -> Tensor:
        z[layer] = outputs
        return outputs  # what is kept is what the model goes on with: it has a gradient

    handle = model.model.norm.register_forward_pre_hook(final)
    with RecordedAttention(model, layers) as attention, replaced_head_outputs(model, keep):
        logits = model(input_ids=encoded.input_ids, use_cache=False).logits[0, -1]
    handle.remove()
    log_prob = logits.float().log_softmax(-1)[encoded.answer_ids[0]]
    slopes = dict(zip(layers, torch.autograd.grad(log_prob, [z[layer] for layer in layers]), strict=True))
    with torch.no_grad():
        exact = _ablated(model, encoded, mean, heads)
        every = torch.arange(encoded.input_ids.shape[1], device=device)[None]
        views = {}
        for layer, head in heads:
            written = attention.output(layer, head, every)[0]
            top, rank = _lens(model, written, final.seen[0], int(encoded.answer_ids[0]))
            change = mean[layer, :, head] - z[layer][0, :, head]
            views[layer, head] = HeadView(
                attention=attention.attention(layer, head, every)[0].float().cpu(),
                top_ids=top.cpu(),
                answer_rank=rank.cpu(),
                by_token=(slopes[layer][0, :, head] * change).sum(-1).float().cpu(),
                ablated=float(exact[layer, head] - log_prob.detach()),
            )
    return PromptView(int(logits.argmax()), float(log_prob.detach().exp()), views)


class _Input:
    """A hook that keeps the input of a module."""

    seen: Tensor

    def __call__(self, _module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.seen = inputs[0].detach()


def _lens(model: CausalLM, written: Tensor, residual: Tensor, answer: int) -> tuple[Tensor, Tensor]:
    """(ids of the largest logits [T, N_TOP], rank of the answer [T]) of what a head writes, [T, d_model]."""
    norm = model.model.norm
    scale = (residual.float().pow(2).mean(-1, keepdim=True) + norm.variance_epsilon).rsqrt()
    logits = model.lm_head((norm.weight * written.float() * scale).to(model.lm_head.weight.dtype)).float()
    return logits.topk(N_TOP, dim=-1).indices, (logits > logits[:, answer, None]).sum(-1) + 1


def _ablated(model: CausalLM, encoded: Encoded, mean: Tensor, heads: list[Head]) -> dict[Head, Tensor]:
    """Log-probability of the answer with each head alone at its mean, all in one forward."""

    def ablate(layer: int, z: Tensor) -> Tensor:
        z = z.clone()
        for row, (of_layer, head) in enumerate(heads):
            if of_layer == layer:
                z[row, :, head] = mean[layer, :, head].to(z.dtype)
        return z

    with replaced_head_outputs(model, ablate):
        ids = encoded.input_ids.expand(len(heads), -1)
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1].float()
    return dict(zip(heads, logits.log_softmax(-1)[:, encoded.answer_ids[0]], strict=True))
