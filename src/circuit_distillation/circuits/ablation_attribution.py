"""Mean ablation of every head at once by its first-order approximation (attribution patching).

Ablating a head moves its output from z to its mean at every position, so the answer's log-probability by
about the sum over positions of (mean - z) . d log p / dz: one forward and one backward stand for all heads.
With several `steps` the gradient is averaged between the clean run and one with all heads at their means
(integrated gradients along that line).
"""

from __future__ import annotations

import torch
from torch import Tensor

from circuit_distillation.circuits.block import (
    add_mlp,
    answer_log_probs,
    attend,
    attention_output,
    embed,
    normed_input,
    project,
    token_bytes,
)
from circuit_distillation.circuits.clean_runs import MEMORY_BUDGET_MB
from circuit_distillation.circuits.cost import counted
from circuit_distillation.circuits.gradients import frozen_weights, gradients
from circuit_distillation.circuits.layers import rope_of
from circuit_distillation.circuits.mean_ablation import check_means
from circuit_distillation.circuits.precision import WorkingLayers, compute_dtype
from circuit_distillation.circuits.prompts import check_answers, prompt_lengths
from circuit_distillation.compute.halving import within_memory
from circuit_distillation.models.architecture import CausalLM, architecture


def attribute_ablations(
    model: CausalLM,
    input_ids: Tensor,
    answer_ids: Tensor,
    means: Tensor,
    *,
    attention_mask: Tensor | None = None,
    steps: int = 1,
    memory_budget_mb: float = MEMORY_BUDGET_MB,
) -> Tensor:
    """About `head_effects(...)`'s log_prob - base_log_prob, [layer, head, example], for a few forwards.

    Arguments and shapes are those of `head_effects`, ablated at every position. `steps` is the number of
    points over which the gradient is averaged; 1 is the clean run alone.
    """
    lengths = prompt_lengths(model, input_ids, attention_mask)
    check_answers(answer_ids, input_ids, architecture(model).vocab_size)
    check_means(model, means, int(lengths.max()))
    if steps < 1:
        raise ValueError(f"steps must be 1 (the clean run alone) or more, not {steps}")
    n_tokens = int(lengths.max())
    ids, there = input_ids[:, :n_tokens], means[:, :n_tokens].to(compute_dtype(model))

    def run(megabytes: float) -> Tensor:
        size = max(1, int(megabytes * 2**20) // _bytes_per_prompt(model, n_tokens))
        parts = torch.arange(len(ids), device=ids.device).split(size)
        return torch.cat(
            [_changes(model, ids[p], answer_ids[p], lengths[p], there, steps) for p in parts], -1
        )

    with frozen_weights(model):
        return within_memory("attribution of ablations", memory_budget_mb, "MB", run)


def _changes(
    model: CausalLM, ids: Tensor, answers: Tensor, lengths: Tensor, means: Tensor, steps: int
) -> Tensor:
    """First-order changes of the answer's log-probability, [layer, head, n]."""
    total: Tensor | None = None
    shifts: list[Tensor] = []
    for step in range(steps):
        with counted() as forward:
            outputs, log_probs = _run(model, ids, answers, lengths, means, step / steps)
        found = gradients(log_probs.sum(), outputs, forward)
        shifts = shifts or [mean - z.detach() for z, mean in zip(outputs, means, strict=True)]
        here = torch.stack([(s * g).sum(dim=(1, 3)).T for s, g in zip(shifts, found, strict=True)]) / steps
        total = here if total is None else total + here
    assert total is not None, "there is at least one step"
    return total


def _run(
    model: CausalLM, ids: Tensor, answers: Tensor, lengths: Tensor, means: Tensor, blend: float
) -> tuple[list[Tensor], Tensor]:
    """(z by layer [n, t, head, d_head], the answer's log-probability [n]) with every head that share of the
    way from its output to its mean."""
    rope, outputs = rope_of(model, 0, ids.shape[1]), []
    x = embed(model, ids[:, None]).requires_grad_()
    for index, layer in enumerate(WorkingLayers(model)):
        normed = normed_input(layer, x)
        q, k, v = (project(layer, normed, which, rope) for which in "qkv")
        z = attend(q, k, v, layer.self_attn.scaling, None)[:, 0]
        z = z.lerp(means[index].expand_as(z), blend) if blend else z
        outputs.append(z)
        x = add_mlp(layer, x + attention_output(layer, z)[:, None])
    last = x[torch.arange(len(ids), device=ids.device), 0, lengths - 1]
    return outputs, answer_log_probs(model, last, answers)[0]


def _bytes_per_prompt(model: CausalLM, n_tokens: int) -> int:
    """States of one prompt that the way back needs."""
    arch, size = architecture(model), compute_dtype(model).itemsize
    width = WorkingLayers(model)[0].mlp.gate_proj.out_features
    token = token_bytes(model, n_tokens) + (4 * width + 8 * arch.d_model) * size
    return arch.n_layers * n_tokens * token + 2 * arch.vocab_size * size
