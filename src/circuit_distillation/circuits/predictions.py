"""Predictions on the test split, one row for each example: full model, circuit alone, random circuits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from circuit_distillation.circuits.evaluation import circuits_outputs, head_mask
from circuit_distillation.circuits.mean_ablation import head_means
from circuit_distillation.circuits.progress import Bar
from circuit_distillation.circuits.random_circuits import random_circuits
from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import CausalLM, architecture
from circuit_distillation.models.encoding import Encoded, encode
from circuit_distillation.models.layouts import paired_layouts
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.tasks.example import Example

if TYPE_CHECKING:
    import pandas as pd


def prediction_frame(
    checkpoint: Checkpoint,
    test: Sequence[Example],
    means: Sequence[Example],
    heads: Sequence[Head],
    n_random: int,
    seed: int,
    *,
    progress: bool = False,
) -> pd.DataFrame:
    """Every test example under the full model, the circuit of `heads` and `n_random` random circuits of its
    size.

    Means are taken over the prompts of `means` that have the layout (length) of the prompts at hand. Columns:
    example_id, group_id, template, cell, answer, then
    {full,circuit}_{predicted,correct,candidate_correct,log_prob} and random_{k}_{predicted,correct}.
    `predicted` is the decoded top token of the whole vocabulary, `correct` whether it is the answer,
    `candidate_correct` whether the answer is the top one among the candidates. progress shows a bar.
    """
    import pandas as pd

    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    encoded = encode(tokenizer, test)
    circuits = _circuits(model, heads, n_random, seed)
    with Bar("circuit evaluation" if progress else None, len(circuits), len(test), "circuit") as bar:
        reference = encode(tokenizer, means).to(model.device)
        tops, bests, log_probs = _by_layout(model, encoded.to(model.device), reference, circuits, bar)
    words = {int(token): tokenizer.decode([int(token)]).strip() for token in tops.unique()}
    columns: dict[str, Any] = {
        name: [getattr(example, name) for example in test]
        for name in ("example_id", "group_id", "template", "cell", "answer")
    }
    names = ["full", "circuit", *(f"random_{k:02d}" for k in range(n_random))]
    for index, name in enumerate(names):
        top = tops[index]
        columns[f"{name}_predicted"] = [words[token] for token in top.tolist()]
        columns[f"{name}_correct"] = (top == encoded.answer_ids).numpy()
        if index < 2:
            columns[f"{name}_candidate_correct"] = (bests[index] == encoded.answer_ids).numpy()
            columns[f"{name}_log_prob"] = log_probs[index].float().numpy()
    return pd.DataFrame(columns)


def _circuits(model: CausalLM, heads: Sequence[Head], n_random: int, seed: int) -> torch.Tensor:
    """Masks [2 + n_random, layer, head]: all heads (the full model), the circuit, random ones of its size."""
    arch = architecture(model)
    own = head_mask(arch, heads)
    masks = torch.stack([torch.ones_like(own), own])
    return torch.cat([masks, random_circuits(arch, heads, n_random, seed=seed)])


def _by_layout(
    model: CausalLM, encoded: Encoded, reference: Encoded, circuits: torch.Tensor, bar: Bar
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Top tokens, top candidates and log-probabilities of the answers, [circuit, example].

    Means are those of each example's own layout.
    """
    shape = (len(circuits), len(encoded.input_ids))
    top, best = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    log_prob = torch.zeros(shape, dtype=torch.float64)
    for layout, theirs in paired_layouts(encoded, reference):
        part = layout.encoded
        outputs = circuits_outputs(
            model,
            part.input_ids,
            circuits,
            head_means(model, theirs.encoded.input_ids),
            answer_ids=part.answer_ids,
            candidate_ids=part.candidate_ids,
            progress=bar,
        )
        assert outputs.candidate_predictions is not None and outputs.log_prob is not None, "both asked for"
        rows = layout.rows.cpu()
        top[:, rows], best[:, rows] = outputs.predictions.cpu(), outputs.candidate_predictions.cpu()
        log_prob[:, rows] = outputs.log_prob.double().cpu()
    return top, best, log_prob
