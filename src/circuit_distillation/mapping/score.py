"""Matching rules scored against the truth: heads' own ancestors, and stages of the search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from circuit_distillation.heads import Head
from circuit_distillation.mapping.effects import Effects
from circuit_distillation.mapping.match import RULES, match_heads
from circuit_distillation.mapping.relevant_heads import discovered
from circuit_distillation.mapping.settings import MappingSettings
from circuit_distillation.mapping.sides import Evidence, Record, sides_of

NAN = float("nan")


def score_rules(
    student: Effects,
    teacher: Effects,
    heads: Record,
    teacher_circuit: Record,
    settings: MappingSettings,
    evidence: Evidence,
) -> list[dict[str, Any]]:
    """A row for every rule: how many of the relevant student heads it maps onto the head that is right.

    n_heads: relevant heads; n_pairs: those that the rule did not refuse. ancestor_share: the share of the
    relevant heads mapped onto their own ancestor. n_in_circuit: heads whose ancestor is in the teacher's
    circuit, so that other rules can find it. stage_share: of the heads that some stage of the search found,
    the share mapped onto a head that shares a stage. chance_ancestor and chance_stage: what a uniform draw
    from the circuit would reach on average. Shares are NaN where there is no truth (students without
    ancestors, circuits without stages). A rule that does not apply has NaN shares too, and its reason in
    `error`.
    """
    circuit = discovered(teacher_circuit)
    ours: list[Head] = [(layer, head) for layer, head in heads["student_heads"]]
    truths = {"ancestor": _ancestors(ours, evidence), "stage": _of_same_stage(ours, evidence)}
    chance = {f"chance_{name}": _chance(truth, circuit) for name, truth in truths.items()}
    n_in_circuit = sum(bool(right & set(circuit)) for right in truths["ancestor"].values())
    rows = []
    for rule in RULES:
        row: dict[str, Any] = {
            "rule": rule,
            "label": RULES[rule].label,
            "n_heads": len(ours),
            "n_in_circuit": n_in_circuit,
        }
        try:
            pairs = _pairs(student, teacher, heads, teacher_circuit, settings, evidence, rule)
            found = {"n_pairs": len(pairs), "error": ""}
            found |= {f"{name}_share": _share(truth, pairs) for name, truth in truths.items()}
        except ValueError as error:
            found = {"n_pairs": 0, "error": str(error)} | {f"{name}_share": NAN for name in truths}
        rows.append(row | found | chance)
    return rows


def _pairs(
    student: Effects,
    teacher: Effects,
    heads: Record,
    teacher_circuit: Record,
    settings: MappingSettings,
    evidence: Evidence,
    rule: str,
) -> dict[Head, Head]:
    """Student head -> teacher head under a rule."""
    chosen = settings.model_copy(update={"rule": rule})
    sides = sides_of(student, teacher, heads, teacher_circuit, chosen)
    pairs = match_heads(
        *sides.impacts(chosen.student_form),
        rule,
        features=sides.features(chosen, evidence),
        seed=chosen.seed,
        max_distance=chosen.max_distance,
    )
    return {sides.student_heads[i]: sides.teacher_heads[j] for i, j in pairs}


def _ancestors(heads: list[Head], evidence: Evidence) -> dict[Head, set[Head]]:
    """Student head -> the one teacher head that is right; none without ancestry."""
    if not evidence.ancestry:
        return {}
    return {head: {evidence.ancestry[head]} if head in evidence.ancestry else set() for head in heads}


def _of_same_stage(heads: list[Head], evidence: Evidence) -> dict[Head, set[Head]]:
    """Student head that a stage found -> the teacher heads that share a stage with it."""
    student, teacher = evidence.roles
    if not teacher:
        return {}
    return {
        head: {other for other, stages in teacher.items() if stages & student[head]}
        for head in heads
        if head in student
    }


def _share(truth: Mapping[Head, set[Head]], pairs: Mapping[Head, Head]) -> float:
    return sum(pairs.get(head) in right for head, right in truth.items()) / len(truth) if truth else NAN


def _chance(truth: Mapping[Head, set[Head]], circuit: list[Head]) -> float:
    """The expected share under a uniform draw from the circuit."""
    hits = [len(right & set(circuit)) / len(circuit) for right in truth.values()]
    return sum(hits) / len(hits) if hits else NAN
