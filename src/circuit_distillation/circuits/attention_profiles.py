"""Attention profiles: where each head looks on average, token by token, for each layout of the prompts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from circuit_distillation.compute.halving import within_memory
from circuit_distillation.models.architecture import CausalLM, architecture
from circuit_distillation.models.attention_inputs import RecordedAttention
from circuit_distillation.models.encoding import encode
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.tasks.example import Example

N_PROMPTS = 64  # of each template, its first ones: the mean of so many rows hardly moves with more


def attention_profiles(
    checkpoint: Checkpoint, examples: Sequence[Example], *, n_prompts: int = N_PROMPTS, batch_size: int = 16
) -> dict[str, Tensor]:
    """Template -> mean attention rows [layer, head, query token, key token] over its first `n_prompts`.

    Every row sums to 1. All prompts of a template have one length (`models.encoding.encode`), so that a
    token stands for the same part of each. float32, on the CPU.
    """
    by_template: dict[str, list[Example]] = {}
    for example in examples:
        by_template.setdefault(example.template, []).append(example)
    return {
        template: _mean_rows(checkpoint, prompts[:n_prompts], batch_size)
        for template, prompts in sorted(by_template.items())
    }


def _mean_rows(checkpoint: Checkpoint, prompts: Sequence[Example], batch_size: int) -> Tensor:
    """[layer, head, token, token]."""
    ids = encode(checkpoint.tokenizer, prompts).input_ids.to(checkpoint.model.device)

    def run(size: float) -> Tensor:
        total = sum(_summed_rows(checkpoint.model, part) for part in ids.split(int(size)))
        assert isinstance(total, Tensor), "a template has prompts"
        return (total / len(ids)).float().cpu()

    return within_memory("attention profiles", batch_size, "prompts", run)


@torch.no_grad()
def _summed_rows(model: CausalLM, ids: Tensor) -> Tensor:
    """The sum over prompts [example, token] in float64, [layer, head, token, token]."""
    shape = architecture(model)
    every_token = torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
    with RecordedAttention(model, range(shape.n_layers)) as recorded:
        model.model(input_ids=ids, use_cache=False)
        layers = [
            torch.stack(
                [
                    recorded.attention(layer, head, every_token).sum(0, dtype=torch.float64)
                    for head in range(shape.n_heads)
                ]
            )
            for layer in range(shape.n_layers)
        ]
    # Layers may lie on different devices.
    return torch.stack([rows.to(layers[0].device) for rows in layers])
