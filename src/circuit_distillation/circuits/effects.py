"""Ablation effects and outputs of every head as tables, for matching and ranking heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from circuit_distillation.circuits.ablation_attribution import attribute_ablations
from circuit_distillation.circuits.cost import Cost, SearchCost, counted
from circuit_distillation.circuits.in_processes import sweep_in_processes
from circuit_distillation.circuits.mean_ablation import HeadEffects, head_effects, head_means
from circuit_distillation.circuits.progress import Bar
from circuit_distillation.compute.halving import within_memory
from circuit_distillation.models.architecture import CausalLM, architecture
from circuit_distillation.models.encoding import Encoded, encode
from circuit_distillation.models.head_outputs import head_outputs
from circuit_distillation.models.layouts import paired_layouts
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.tasks.example import Example

if TYPE_CHECKING:
    import pandas as pd


def ablation_frames(
    checkpoint: Checkpoint,
    examples: Sequence[Example],
    means: Sequence[Example],
    *,
    n_processes: int = 1,
    progress: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(effects, features) of every head on every example.

    Effects: layer, head, example_id, group_id and, with this head at its mean, log_prob (of the answer),
    correct (whether the answer is the top token) and logit_diff (the answer's logit minus that of the best
    other candidate); rows with layer and head -1 are the unablated model.
    Features: layer, head, example_id, z, the head's output at the last token (a list of d_head numbers).
    The effects' attrs hold the sweep's "cost".
    """
    encoded = encode(checkpoint.tokenizer, examples).to(checkpoint.model.device)
    reference = encode(checkpoint.tokenizer, means).to(checkpoint.model.device)
    with counted() as cost:
        effects = layout_effects(
            checkpoint.model, encoded, reference, n_processes=n_processes, progress=progress
        )
    frame = _effect_frame(effects, examples)
    frame.attrs["cost"] = asdict(sweep_cost(cost, checkpoint.model, encoded))
    return frame, _feature_frame(checkpoint.model, encoded, examples)


def layout_effects(
    model: CausalLM,
    encoded: Encoded,
    reference: Encoded,
    *,
    n_processes: int = 1,
    progress: bool = False,
) -> HeadEffects:
    """Effects of ablating each head, with the means of each example's own layout in `reference`.

    The examples are shared out over `n_processes`; progress shows a bar (in one process).
    """
    if n_processes > 1:
        shared = ((encoded,), (reference,))
        return _joined(sweep_in_processes(layout_effects, model, *shared, n_processes=n_processes))
    n_heads, n = architecture(model).n_total_heads, len(encoded.input_ids)
    with Bar("mean ablation" if progress else None, n_heads, n) as bar:
        return _effects_here(model, encoded, reference, bar)


def layout_attributions(model: CausalLM, encoded: Encoded, reference: Encoded, steps: int) -> torch.Tensor:
    """First-order changes of the answer's log-probability, [layer, head, example], with the means of
    each example's own layout; see `attribute_ablations`."""
    parts, rows = [], []
    for layout, theirs in paired_layouts(encoded, reference):
        part, means = layout.encoded, head_means(model, theirs.encoded.input_ids)
        parts.append(attribute_ablations(model, part.input_ids, part.answer_ids, means, steps=steps))
        rows.append(layout.rows)
    return torch.cat(parts, dim=-1)[..., torch.cat(rows).argsort()]


def sweep_cost(cost: Cost, model: CausalLM, encoded: Encoded) -> SearchCost:
    """What ablating each head did cost, beside one forward for each and one without ablation."""
    return cost.beside_naive(
        model, encoded.attention_mask.sum(1).tolist(), architecture(model).n_total_heads + 1
    )


def _effects_here(model: CausalLM, encoded: Encoded, reference: Encoded, bar: Bar) -> HeadEffects:
    parts, rows = [], []
    for layout, theirs in paired_layouts(encoded, reference):
        part, means = layout.encoded, head_means(model, theirs.encoded.input_ids)
        ids, answers = part.input_ids, part.answer_ids
        parts.append(head_effects(model, ids, answers, means, candidate_ids=part.candidate_ids, progress=bar))
        rows.append(layout.rows)
    order = torch.cat(rows).argsort()
    return HeadEffects(**{name: values[..., order] for name, values in vars(_joined(parts)).items()})


def _joined(parts: Sequence[HeadEffects]) -> HeadEffects:
    """Effects of all examples from those of some, in order."""
    names = [field.name for field in fields(HeadEffects)]
    return HeadEffects(**{name: torch.cat([getattr(part, name) for part in parts], -1) for name in names})


def _effect_frame(effects: HeadEffects, examples: Sequence[Example]) -> pd.DataFrame:
    import pandas as pd

    base_logit_diff, logit_diff = effects.base_logit_diff, effects.logit_diff
    assert base_logit_diff is not None and logit_diff is not None, "candidates were given"
    n_layers, n_heads, n = effects.log_prob.shape
    layer, head = np.divmod(np.arange(n_layers * n_heads), n_heads)
    return pd.DataFrame(
        {
            "layer": np.concatenate([np.full(n, -1), layer.repeat(n)]),
            "head": np.concatenate([np.full(n, -1), head.repeat(n)]),
            "example_id": [example.example_id for example in examples] * (n_layers * n_heads + 1),
            "group_id": [example.group_id for example in examples] * (n_layers * n_heads + 1),
            "log_prob": _column(effects.base_log_prob, effects.log_prob),
            "correct": _column(effects.base_correct, effects.correct),
            "logit_diff": _column(base_logit_diff, logit_diff),
        }
    )


def _column(base: torch.Tensor, ablated: torch.Tensor) -> np.ndarray:
    return torch.cat([base, ablated.flatten()]).cpu().numpy()


def _feature_frame(model: CausalLM, encoded: Encoded, examples: Sequence[Example]) -> pd.DataFrame:
    import pandas as pd

    last = _last_head_outputs(model, encoded)
    n_layers, n, n_heads, _ = last.shape
    layer, head = np.divmod(np.arange(n_layers * n_heads), n_heads)
    return pd.DataFrame(
        {
            "layer": layer.repeat(n),
            "head": head.repeat(n),
            "example_id": [example.example_id for example in examples] * len(layer),
            "z": list(last.transpose(1, 2).flatten(0, 2).float().cpu().numpy()),
        }
    )


def _last_head_outputs(model: CausalLM, encoded: Encoded, batch_size: int = 64) -> torch.Tensor:
    """z at the last token, [layer, example, head, d_head]; other tokens are dropped batch by batch."""

    def run(size: float) -> torch.Tensor:
        parts = []
        for rows in torch.arange(len(encoded.input_ids)).split(int(size)):
            z = head_outputs(model, encoded.input_ids[rows], attention_mask=encoded.attention_mask[rows])
            parts.append(z[:, torch.arange(len(rows)), encoded.positions["last"][rows]])
        return torch.cat(parts, dim=1)

    return within_memory("head outputs", batch_size, "prompts", run)
