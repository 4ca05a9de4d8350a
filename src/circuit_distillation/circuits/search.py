"""Find the circuit of a model on a task: by path patching with pruning, or by ranking ablation effects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuit_distillation.circuits.clean_runs import MEMORY_BUDGET_MB
from circuit_distillation.circuits.cost import SearchCost, counted
from circuit_distillation.circuits.discovery import StageResult, discover, select_heads
from circuit_distillation.circuits.effects import layout_attributions, layout_effects, sweep_cost
from circuit_distillation.circuits.evaluation import circuits_outputs
from circuit_distillation.circuits.mean_ablation import head_means
from circuit_distillation.circuits.minimality import prune
from circuit_distillation.circuits.progress import Bar, remove_records
from circuit_distillation.circuits.role_circuits import RoleCircuits, token_columns
from circuit_distillation.circuits.settings import ATTRIBUTION_STEPS, MeanAblation, PathPatching
from circuit_distillation.compute.halving import within_memory
from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import CausalLM, architecture
from circuit_distillation.models.encoding import Encoded, encode
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.tasks.example import Example

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class _Found:
    scores: dict[str, StageResult]
    stages: dict[str, list[Head]]  # kept in the end; a stage that found nothing is there, empty
    cost: SearchCost


def find_circuit(
    checkpoint: Checkpoint,
    examples: Sequence[Example],
    corrupted: Sequence[Example],
    means: Sequence[Example],
    settings: PathPatching | MeanAblation,
    *,
    n_processes: int = 1,
    work_folder: Path | None = None,
    progress: bool = False,
) -> tuple[pd.DataFrame, dict[str, Any], pd.DataFrame]:
    """(scores, circuit, scores of every prompt).

    Scores: layer, head, stage, score (the mean over prompts), stderr. The circuit is in JSON types. Scores of
    every prompt: stage, layer, head, example_id, group_id, template, score, from which `stability` works.

    The corrupted prompts are used by path patching alone. The examples are shared out over `n_processes`; the
    scores do not depend on how many. `work_folder` is a folder of its own that is there only while the search
    runs: one that was interrupted goes on from it. progress shows bars. The circuit's "cost" is that of the
    whole search. ValueError for path patching of prompts that differ in length.
    """
    n = settings.n_examples
    device = checkpoint.model.device
    encoded = encode(checkpoint.tokenizer, examples[:n]).to(device)
    reference = encode(checkpoint.tokenizer, means).to(device)
    options: dict[str, Any] = {"n_processes": n_processes, "progress": progress}
    if isinstance(settings, PathPatching):
        there = encode(checkpoint.tokenizer, corrupted[:n]).to(device)
        options["checkpoint"] = work_folder
        found = _by_patching(checkpoint.model, encoded, there, reference, settings, options)
    else:
        found = _by_ablation(checkpoint.model, encoded, reference, settings, options)
    if work_folder is not None:
        remove_records(work_folder)
    heads = sorted({head for kept in found.stages.values() for head in kept})
    total, parameters = architecture(checkpoint.model).n_total_heads, settings.model_dump(mode="json")
    circuit = {
        "method": settings.method,
        "n_examples": len(encoded.input_ids),
        "heads": [list(head) for head in heads],
        "stages": {name: [list(head) for head in kept] for name, kept in found.stages.items()},
        "n_heads_total": total,
        "fraction": len(heads) / total,
        "parameters": parameters | {"stages": parameters.get("stages", [])},
        "cost": asdict(found.cost),
    }
    return _score_frame(found.scores), circuit, _prompt_frame(found.scores, examples[:n])


def _by_patching(
    model: CausalLM,
    encoded: Encoded,
    corrupted: Encoded,
    reference: Encoded,
    settings: PathPatching,
    options: dict[str, Any],
) -> _Found:
    _check_one_layout(encoded, corrupted, reference)
    with counted() as cost:
        # What was scored before memory ended is in the checkpoint of `options`.
        found = within_memory(
            "path patching",
            MEMORY_BUDGET_MB,
            "MB",
            lambda megabytes: discover(
                model,
                encoded.input_ids,
                corrupted.input_ids,
                encoded.answer_ids,
                settings.stages,
                encoded.positions,
                corrupt_positions=corrupted.positions,
                kv_scope=settings.kv_scope,
                score=settings.score,
                memory_budget_mb=megabytes,
                attribution_steps=ATTRIBUTION_STEPS.get(settings.method),
                **options,
            ),
        )
        groups = {name: stage.heads for name, stage in found.stages.items() if stage.heads}
        pruned, n_circuits = _pruned(groups, model, encoded, reference, settings, options["progress"])
    stages = {name: pruned.get(name, []) for name in found.stages}
    lengths = encoded.attention_mask.sum(1).tolist()
    naive = found.cost.naive_forward_equivalents / len(lengths) + n_circuits
    return _Found(found.stages, stages, cost.beside_naive(model, lengths, naive))


def _pruned(
    groups: dict[str, list[Head]],
    model: CausalLM,
    encoded: Encoded,
    reference: Encoded,
    settings: PathPatching,
    progress: bool,
) -> tuple[dict[str, list[Head]], int]:
    """(heads of each stage that minimality keeps by accuracy, number of circuits measured).

    Later stages are pruned first. A head is kept at its stage's position alone (Prakash et al. 2024).
    """
    means = head_means(model, reference.input_ids)
    roles = {stage.name: stage.sender for stage in settings.stages}
    ids, positions, n_circuits = encoded.input_ids, encoded.positions, 0
    whole = _by_role(groups, roles)
    columns = token_columns({role: positions[role] for role in whole}, ids.shape[1]) if whole else None
    together = None if columns is None else RoleCircuits(model, ids, whole, means, positions)

    def accuracy(circuits: list[dict[str, list[Head]]]) -> list[float]:
        nonlocal n_circuits
        n_circuits += len(circuits)
        kept = [_by_role(circuit, roles) for circuit in circuits]
        with Bar("pruning" if progress else None, len(kept), len(ids), "circuit") as bar:
            if together is not None:
                top = together.top_tokens(kept, bar)
            else:
                top = circuits_outputs(model, ids, kept, means, positions=positions, progress=bar).predictions
        return (top == encoded.answer_ids).double().mean(dim=1).tolist()

    threshold = settings.minimality.threshold
    return prune(groups, accuracy, threshold=threshold, order=list(groups)[::-1]), n_circuits


def _check_one_layout(*prompts: Encoded) -> None:
    """Positions and means are shared by all prompts of a search: ValueError if their lengths differ."""
    lengths = sorted({length for part in prompts for length in part.attention_mask.sum(1).tolist()})
    if len(lengths) > 1:
        raise ValueError(
            f"path patching needs prompts of one layout, not of {lengths} tokens: choose templates"
        )


def _by_role(groups: Mapping[str, Sequence[Head]], roles: Mapping[str, str]) -> dict[str, list[Head]]:
    """Heads by the role of their position; stages at one position are joined."""
    joined: dict[str, list[Head]] = {}
    for name, heads in groups.items():
        joined.setdefault(roles[name], []).extend(heads)
    return joined


def _by_ablation(
    model: CausalLM, encoded: Encoded, reference: Encoded, settings: MeanAblation, options: dict[str, Any]
) -> _Found:
    """Heads whose ablation moves the answer's log-probability most, up or down; scores are minus the mean
    move.

    A head that decides for "unknown" helps one cell and harms another: its mean effect cancels, its size
    does not.
    """
    n_heads = math.ceil(round(settings.fraction * architecture(model).n_total_heads, 9))
    with counted() as cost:
        if settings.method in ATTRIBUTION_STEPS:
            moves = layout_attributions(model, encoded, reference, ATTRIBUTION_STEPS[settings.method])
        else:
            effects = layout_effects(model, encoded, reference, **options)
            moves = effects.log_prob - effects.base_log_prob
    result = select_heads(-moves.abs(), n_heads)
    return _Found(
        {"mean_ablation": result}, {"mean_ablation": result.heads}, sweep_cost(cost, model, encoded)
    )


def _score_frame(stages: Mapping[str, StageResult]) -> pd.DataFrame:
    import pandas as pd

    frames = []
    for name, stage in stages.items():
        n_layers, n_heads = stage.score.shape
        index = pd.MultiIndex.from_product([range(n_layers), range(n_heads)], names=["layer", "head"])
        score, stderr = (part.flatten().cpu().numpy() for part in (stage.score, stage.stderr))
        values = {"stage": name, "score": score, "stderr": stderr}
        frames.append(pd.DataFrame(values, index=index).reset_index())
    return pd.concat(frames, ignore_index=True)


def _prompt_frame(stages: Mapping[str, StageResult], examples: Sequence[Example]) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    n_layers, n_heads, n = next(iter(stages.values())).effects.shape
    layer, head = np.divmod(np.arange(n_layers * n_heads), n_heads)
    n_rows = len(layer) * len(stages)
    names = {
        name: pd.Categorical.from_codes(np.tile(codes, n_rows), known)
        for name in ("example_id", "group_id", "template")
        for codes, known in [pd.factorize(np.array([getattr(example, name) for example in examples]))]
    }
    return pd.DataFrame(
        {
            "stage": pd.Categorical.from_codes(np.arange(len(stages)).repeat(len(layer) * n), list(stages)),
            "layer": np.tile(layer.repeat(n), len(stages)).astype(np.int16),
            "head": np.tile(head.repeat(n), len(stages)).astype(np.int16),
            **names,
            "score": np.concatenate([stage.effects.flatten().cpu().numpy() for stage in stages.values()]),
        }
    )
