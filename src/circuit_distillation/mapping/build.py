"""From stored ablation effects to the mapping of a student onto the teacher: equations 3 to 5, end to end.

Ablation effects come as frames with the columns layer, head, example_id, group_id, log_prob, correct, one row a
head and example; rows with layer -1 are the unablated model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from circuit_distillation.mapping.impact import performance, student_impact, teacher_impact
from circuit_distillation.mapping.match import head_distances, match_heads
from circuit_distillation.mapping.pairs import random_pairs
from circuit_distillation.mapping.record import mapping_record, pair_stability
from circuit_distillation.mapping.relevant_heads import discovered, top_impact

Head = tuple[int, int]
FIELDS = ("log_prob", "correct")


@dataclass(frozen=True)
class Effects:
    """Per-example effects as arrays: `values[field]` is [layer, head, example], `base[field]` is [example]."""

    values: dict[str, np.ndarray]
    base: dict[str, np.ndarray]
    groups: np.ndarray

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Effects:
        """Read the stored frame; ValueError if a head lacks an example."""
        frame = frame.sort_values(["layer", "head", "example_id"], kind="stable")
        base, heads = frame[frame.layer < 0], frame[frame.layer >= 0]
        shape = (heads["layer"].max() + 1, heads["head"].max() + 1, len(base))
        if len(heads) != np.prod(shape):
            raise ValueError(f"ablation effects hold {len(heads)} rows, not {shape}: make them anew")
        return cls(
            {field: heads[field].to_numpy(float).reshape(shape) for field in FIELDS},
            {field: base[field].to_numpy(float) for field in FIELDS},
            base["group_id"].to_numpy(),
        )


def build_mapping(
    student: Effects,
    teacher: Effects,
    teacher_circuit: Mapping[str, Any],
    student_circuit: Mapping[str, Any],
    *,
    fraction: float,
    settings: Mapping[str, Any],
    seed: int,
    features: tuple[Mapping[Head, Any], Mapping[Head, Any]] | None = None,
) -> dict[str, Any]:
    """The mapping JSON of DESIGN's artifact contract.

    `settings` holds student_form, baseline, performance, rule, student_heads, random_from (see the parameter file);
    `features` maps heads of student and teacher to their outputs [example, d_head], for the rule "cka".
    """
    measure, rule = settings["performance"], settings["rule"]
    field = {"logprob": "log_prob", "accuracy": "correct"}[measure]
    student_base, ablated = performance(student.base, measure), performance(student.values, measure)
    relevant = (
        top_impact(student_impact(student_base, ablated), fraction)
        if settings["student_heads"] == "top_impact"
        else discovered(student_circuit)
    )
    candidates = discovered(teacher_circuit)
    baseline = student if settings["baseline"] == "student" else teacher
    impacts = (
        _pick(student_impact(student_base, ablated, settings["student_form"]), relevant),
        _pick(teacher_impact(performance(baseline.base, measure), performance(teacher.values, measure)), candidates),
    )
    chosen_features = _features(rule, student, teacher, relevant, candidates, field, features)
    pairs = match_heads(*impacts, rule, features=chosen_features, seed=seed)
    heads = [(relevant[i], candidates[j]) for i, j in pairs]
    pool = candidates if settings["random_from"] == "circuit" else _every_head(teacher)
    stability = None
    if rule in ("nearest", "one_to_one"):
        stability = pair_stability(
            pairs,
            student.base[field],
            _pick(student.values[field], relevant),
            baseline.base[field],
            _pick(teacher.values[field], candidates),
            student.groups,
            rule=rule,
            form=settings["student_form"],
            seed=seed,
        )
    record = mapping_record(
        relevant,
        candidates,
        *impacts,
        pairs,
        distances=head_distances(*impacts, rule, features=chosen_features),
        rule=rule,
        form=settings["student_form"],
        baseline=settings["baseline"],
        performance=measure,
        random_pairs=random_pairs(heads, pool, seed),
        stability=stability,
        parameters={**settings, "fraction": fraction, "seed": seed},
        hashes={"student": student_circuit["model_hash"], "teacher": teacher_circuit["model_hash"]},
    )
    return {
        "role": student_circuit["role"],
        "student_heads": [list(head) for head in relevant],
        "n_student_heads_total": int(np.prod(student.values[field].shape[:2])),
        **record,
    }


def _pick(values: np.ndarray, heads: Sequence[Head]) -> np.ndarray:
    """[layer, head, ...] at the given heads: [n, ...]."""
    layers, indices = zip(*heads, strict=True)
    return values[list(layers), list(indices)]


def _every_head(effects: Effects) -> list[Head]:
    n_layers, n_heads, _ = effects.values["log_prob"].shape
    return [(layer, head) for layer in range(n_layers) for head in range(n_heads)]


def _features(rule, student, teacher, relevant, candidates, field, features):
    """What the rules "profile" and "cka" compare: per-example effects, or head outputs."""
    if rule == "profile":
        return (
            student.base[field] - _pick(student.values[field], relevant),
            teacher.base[field] - _pick(teacher.values[field], candidates),
        )
    if rule == "cka" and features is not None:
        return [features[0][head] for head in relevant], [features[1][head] for head in candidates]
    return None


def features_from_frame(frame: pd.DataFrame) -> dict[Head, np.ndarray]:
    """Stored head outputs (columns layer, head, example_id, z) as [example, d_head] a head, examples in one order."""
    ordered = frame.sort_values(["layer", "head", "example_id"], kind="stable")
    return {head: np.stack(rows["z"].tolist()) for head, rows in ordered.groupby(["layer", "head"])}
