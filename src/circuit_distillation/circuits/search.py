"""The circuit of a model on a task, from its prompts: path patching with pruning, or ablation ranking."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from circuit_distillation.circuits.cost import counted, forward_macs
from circuit_distillation.circuits.discovery import (
    Discovery,
    Head,
    SearchCost,
    Stage,
    StageResult,
    discover,
    select_heads,
)
from circuit_distillation.circuits.effects import layout_effects
from circuit_distillation.circuits.evaluation import circuits_outputs
from circuit_distillation.circuits.mean_ablation import head_means
from circuit_distillation.circuits.minimality import prune
from circuit_distillation.models.architecture import architecture
from circuit_distillation.models.encoding import Encoded, encode
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.tasks.example import Example

if TYPE_CHECKING:
    import pandas as pd


def find_circuit(
    checkpoint: Checkpoint,
    examples: Sequence[Example],
    corrupted: Sequence[Example],
    means: Sequence[Example],
    settings: Mapping[str, Any],
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """(scores, circuit): a frame with layer, head, stage, score, stderr, and the circuit in JSON types.

    `settings["method"]` is "path_patching" (stages, then minimality pruning; the corrupted prompts are used)
    or "mean_ablation" (the `fraction` of all heads whose ablation moves the answer's log-probability most).
    ValueError for path patching of prompts that differ in length.
    """
    n = settings["n_examples"]
    encoded = encode(checkpoint.tokenizer, examples[:n])
    reference = encode(checkpoint.tokenizer, means)
    if settings["method"] == "path_patching":
        there = encode(checkpoint.tokenizer, corrupted[:n])
        found, heads, stages = _by_patching(checkpoint.model, encoded, there, reference, settings)
    else:
        found = _by_ablation(checkpoint.model, encoded, reference, settings["fraction"])
        heads, stages = found.heads, {name: stage.heads for name, stage in found.stages.items()}
    total = architecture(checkpoint.model).n_total_heads
    circuit = {
        "method": settings["method"],
        "n_examples": len(encoded.input_ids),
        "heads": [list(head) for head in heads],
        "stages": {name: [list(head) for head in kept] for name, kept in stages.items()},
        "n_heads_total": total,
        "fraction": len(heads) / total,
        "parameters": {**settings, "stages": [dict(stage) for stage in settings.get("stages", ())]},
        "cost": asdict(found.cost),
    }
    return _score_frame(found.stages), circuit


def _by_patching(
    model: torch.nn.Module, encoded: Encoded, corrupted: Encoded, reference: Encoded, settings: Mapping[str, Any]
) -> tuple[Discovery, list[Head], dict[str, list[Head]]]:
    _check_one_layout(encoded, corrupted, reference)
    found = discover(
        model,
        encoded.input_ids,
        corrupted.input_ids,
        encoded.answer_ids,
        [Stage(**stage) for stage in settings["stages"]],
        encoded.positions,
        corrupt_positions=corrupted.positions,
        kv_scope=settings["kv_scope"],
        score=settings["score"],
    )
    groups = {name: stage.heads for name, stage in found.stages.items() if stage.heads}
    means = head_means(model, reference.input_ids)
    roles = {stage["name"]: stage["sender"] for stage in settings["stages"]}

    def accuracy(circuits: list[dict[str, list[Head]]]) -> list[float]:
        # As Prakash et al. measure it: each head only at its role's position, everything else at its mean.
        kept = [_by_role(groups, roles) for groups in circuits]
        top = circuits_outputs(model, encoded.input_ids, kept, means, positions=encoded.positions).predictions
        return (top == encoded.answer_ids).double().mean(dim=1).tolist()

    pruned = prune(groups, accuracy, threshold=settings["minimality"]["threshold"], order=list(groups)[::-1]).kept
    stages = {name: pruned.get(name, []) for name in found.stages}  # also those that found nothing
    return found, sorted({head for heads in stages.values() for head in heads}), stages


def _check_one_layout(*prompts: Encoded) -> None:
    """Positions and means are shared by all prompts of a search: ValueError if their lengths differ."""
    lengths = sorted({length for part in prompts for length in part.attention_mask.sum(1).tolist()})
    if len(lengths) > 1:
        raise ValueError(f"path patching needs prompts of one layout, not of {lengths} tokens: choose templates")


def _by_role(groups: Mapping[str, Sequence[Head]], roles: Mapping[str, str]) -> dict[str, list[Head]]:
    """Heads by the role of their position; stages at one position are joined."""
    joined: dict[str, list[Head]] = {}
    for name, heads in groups.items():
        joined.setdefault(roles[name], []).extend(heads)
    return joined


def _by_ablation(model: torch.nn.Module, encoded: Encoded, reference: Encoded, fraction: float) -> Discovery:
    """Heads whose ablation moves the answer's log-probability most, up or down; scores are minus the mean move.

    A head that decides for "unknown" helps one cell and harms another: its mean effect cancels, its size does not.
    """
    n_total = architecture(model).n_total_heads
    with counted() as cost:
        effects = layout_effects(model, encoded, reference)
    stage = Stage("mean_ablation", "", n_heads=math.ceil(round(fraction * n_total, 9)))
    result = select_heads(-(effects.log_prob - effects.base_log_prob).abs(), stage)
    lengths = encoded.attention_mask.sum(1).tolist()
    unit = sum(forward_macs(model, length) for length in lengths) / len(lengths)
    totals = SearchCost(cost.macs / unit, len(lengths) * (n_total + 1), cost.seconds)
    return Discovery({stage.name: result}, totals)


def _score_frame(stages: Mapping[str, StageResult]) -> pd.DataFrame:
    import pandas as pd

    frames = []
    for name, stage in stages.items():
        n_layers, n_heads = stage.score.shape
        index = pd.MultiIndex.from_product([range(n_layers), range(n_heads)], names=["layer", "head"])
        values = {"stage": name, "score": stage.score.flatten().numpy(), "stderr": stage.stderr.flatten().numpy()}
        frames.append(pd.DataFrame(values, index=index).reset_index())
    return pd.concat(frames, ignore_index=True)
