"""Find a circuit: the backward search by path patching, stage by stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from circuit_distillation.circuits.attribution import attribute_heads, interpolated_runs
from circuit_distillation.circuits.clean_runs import MEMORY_BUDGET_MB
from circuit_distillation.circuits.cost import SearchCost, counted
from circuit_distillation.circuits.in_processes import score_heads_in_processes
from circuit_distillation.circuits.path_patching import SCORES, new_record, score_heads
from circuit_distillation.circuits.progress import ScoreRecord, fingerprint
from circuit_distillation.circuits.prompts import Position, prompt_lengths, resolve_position
from circuit_distillation.circuits.settings import Stage, check_order
from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import CausalLM, architecture


@dataclass(frozen=True)
class StageResult:
    """Scores of one stage; the most negative matter most."""

    score: Tensor  # [layer, head], mean over examples
    stderr: Tensor  # [layer, head], of that mean
    effects: Tensor  # [layer, head, example]
    heads: list[Head]  # kept, most important first


@dataclass(frozen=True)
class Discovery:
    """A found circuit."""

    stages: dict[str, StageResult]
    cost: SearchCost

    @property
    def heads(self) -> list[Head]:
        """Distinct heads of all stages, sorted."""
        return sorted({head for stage in self.stages.values() for head in stage.heads})


def discover(
    model: CausalLM,
    clean_ids: Tensor,
    corrupt_ids: Tensor,
    answer_ids: Tensor,
    stages: Sequence[Stage],
    positions: Mapping[str, Position],
    *,
    corrupt_positions: Mapping[str, Position] | None = None,
    attention_mask: Tensor | None = None,
    kv_scope: str = "per_query_head",
    score: str = "probability",
    checkpoint: Path | None = None,
    progress: bool = False,
    memory_budget_mb: float = MEMORY_BUDGET_MB,
    n_processes: int = 1,
    attribution_steps: int | None = None,
) -> Discovery:
    """Runs the stages in order; each names earlier ones as its receivers. Shapes as in `score_heads`.

    Heads are scored by `score_heads`; with `attribution_steps` by `attribute_heads` with so many, in this
    process, and without a checkpoint or a bar: it takes a few forwards.

    positions and corrupt_positions (default: the same) give each role's position, an int or [example]. A
    stage none of whose receivers was found scores 0 everywhere and keeps no head: small models can lack a
    role.

    checkpoint is a folder: a search interrupted there goes on, when called again with the same model and
    prompts, after the last finished stage and block of senders. `remove_records` removes it afterwards.
    progress shows a bar a stage. With several `n_processes` the examples are shared out over them, and
    whole stages are what an interrupted search keeps.
    """
    there = positions if corrupt_positions is None else corrupt_positions
    check_stages(stages, positions, there)
    lengths = prompt_lengths(model, clean_ids, attention_mask)
    senders, corrupted = (
        {stage.name: resolve_position(at[stage.sender], lengths, stage.sender) for stage in stages}
        for at in (positions, there)
    )
    results: dict[str, StageResult] = {}
    first: dict[str, Any] = {
        "attention_mask": attention_mask,
        "memory_budget_mb": memory_budget_mb,
        "clean_start": min(int(p.min()) for p in senders.values()),
        "corrupt_start": min(int(p.min()) for p in corrupted.values()),
    }
    with counted() as cost:
        runs = interpolated_runs(model, clean_ids, corrupt_ids, attribution_steps or 1, **first)
        key = "" if checkpoint is None else fingerprint(model, clean_ids, corrupt_ids, answer_ids, lengths)
        for stage in stages:
            receivers = _receivers(stage, results)
            prompts = (clean_ids, corrupt_ids, answer_ids, senders[stage.name])
            path: dict[str, Any] = {
                "attention_mask": attention_mask,
                "corrupt_position": corrupted[stage.name],
                "receivers": receivers,
                "receiver_input": stage.receiver_input,
                "kv_scope": kv_scope,
            }
            if receivers == []:
                effects = torch.zeros(*_head_grid(model), len(clean_ids), device=clean_ids.device)
            elif attribution_steps is not None:
                effects = attribute_heads(model, *prompts, **path, runs=runs)
            else:
                at = (senders[stage.name].tolist(), corrupted[stage.name].tolist())
                record = new_record(
                    model,
                    len(clean_ids),
                    path=None if checkpoint is None else checkpoint / f"{stage.name}.safetensors",
                    label=stage.name if progress else None,
                    key=f"{key} {at} {receivers} {stage.receiver_input} {kv_scope}",
                )
                if n_processes > 1:
                    path["memory_budget_mb"] = memory_budget_mb
                    effects = _in_processes(record, model, prompts, path, score, n_processes)
                else:
                    effects = score_heads(model, *prompts, **path, score=score, runs=runs[0], record=record)
            results[stage.name] = select_heads(effects, stage.n_heads, stage.min_drop, stage.z)
    n_forwards = 2 + sum(
        (2 if stage.receivers else 1) * architecture(model).n_total_heads for stage in stages
    )
    return Discovery(results, cost.beside_naive(model, lengths.tolist(), n_forwards))


def _in_processes(
    record: ScoreRecord,
    model: CausalLM,
    prompts: tuple[Tensor, ...],
    path: dict[str, Any],
    score: str,
    n_processes: int,
) -> Tensor:
    """`score_heads` shared out over processes, unless the record already holds every change."""
    every = torch.arange(len(prompts[0]), device=prompts[0].device)
    with record:
        if record.to_do(slice(None), every):
            changes = score_heads_in_processes(
                model, *prompts, **path, score="log_prob", n_processes=n_processes
            )
            record.set(slice(None), every, changes.flatten(0, 1).to(every.device))
    return SCORES[score](record.changes).view(*_head_grid(model), -1)


def select_heads(effects: Tensor, n_heads: int, min_drop: float = 0.0, z: float = 0.0) -> StageResult:
    """Means, standard errors and the kept heads of effects [layer, head, example]; limits as in `Stage`."""
    n = effects.shape[-1]
    mean = effects.double().mean(dim=-1)
    stderr = effects.double().std(dim=-1) / math.sqrt(n) if n > 1 else torch.full_like(mean, math.nan)
    passing = mean < -min_drop
    if z > 0:
        passing &= mean < -z * stderr
    order = mean.flatten().argsort(stable=True).tolist()
    kept = [divmod(index, mean.shape[1]) for index in order if passing.flatten()[index]]
    return StageResult(mean, stderr, effects, kept[:n_heads])


def check_stages(
    stages: Sequence[Stage], positions: Mapping[str, Position], corrupt_positions: Mapping[str, Position]
) -> None:
    """ValueError if a stage names an unknown role or stage, or lacks what its receivers need."""
    check_order(stages)
    for stage in stages:
        for known in (positions, corrupt_positions):
            if stage.sender not in known:
                raise ValueError(
                    f"stage {stage.name!r}: unknown position {stage.sender!r}; known are {', '.join(known)}"
                )


def _receivers(stage: Stage, results: Mapping[str, StageResult]) -> list[Head] | None:
    if not stage.receivers:
        return None
    return sorted({head for name in stage.receivers for head in results[name].heads})


def _head_grid(model: CausalLM) -> tuple[int, int]:
    arch = architecture(model)
    return arch.n_layers, arch.n_heads
