"""From stored ablation effects to the mapping of a student onto the teacher: equations 3 to 5, end to end.

There are three records: the relevant student heads, the control pairs and the mapping. Each depends only on
the data that it needs. So another matching rule does not change students without alignment or with random
pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuit_distillation.heads import Head
from circuit_distillation.mapping.effects import Effects
from circuit_distillation.mapping.impact import per_example, student_impact, teacher_impact
from circuit_distillation.mapping.match import RULES, Features, head_distances, match_heads
from circuit_distillation.mapping.pairs import random_pairs
from circuit_distillation.mapping.record import mapping_record, pair_stability
from circuit_distillation.mapping.relevant_heads import discovered, top_impact
from circuit_distillation.mapping.settings import MappingSettings

EQUATION_5 = "nearest"  # control pairs avoid the pairs of this rule, whatever rule the mapping has
HeadOutputs = Mapping[Head, ArrayLike]  # (layer, head) -> [example, d_head]
Record = Mapping[str, Any]  # plain JSON types


@dataclass(frozen=True)
class _Sides:
    """The heads to be paired, with P per example."""

    student_heads: list[Head]
    teacher_heads: list[Head]
    student_base: NDArray  # [example]
    student_ablated: NDArray  # [n_student, example]
    teacher_base: NDArray  # [example]
    teacher_ablated: NDArray  # [n_teacher, example]
    baseline: NDArray  # [example], what equation 4 starts from

    def impacts(self, form: str) -> tuple[NDArray, NDArray]:
        """Equations 3 and 4, [n_student] and [n_teacher]."""
        return (
            student_impact(self.student_base.mean(), self.student_ablated.mean(axis=1), form),
            teacher_impact(self.baseline.mean(), self.teacher_ablated.mean(axis=1)),
        )

    def features(self, rule: str, outputs: tuple[HeadOutputs, HeadOutputs] | None) -> Features | None:
        """What a rule compares beside mean impacts: effects by example, or head outputs."""
        if RULES[rule].needs == "effects":
            return self.student_base - self.student_ablated, self.teacher_base - self.teacher_ablated
        if RULES[rule].needs == "outputs" and outputs is not None:
            heads = (self.student_heads, self.teacher_heads)
            student, teacher = ([of[head] for head in side] for side, of in zip(heads, outputs, strict=True))
            return student, teacher
        return None


def build_mapping(
    student: Effects,
    teacher: Effects,
    student_circuit: Record,
    teacher_circuit: Record,
    settings: MappingSettings,
    *,
    outputs: tuple[HeadOutputs, HeadOutputs] | None = None,
) -> dict[str, Any]:
    """All three steps: the mapping as `map_heads` gives it.

    Circuits are in their stored form (heads, model_hash; role of the student's).
    """
    heads = choose_heads(student, student_circuit, settings)
    controls = draw_controls(student, teacher, heads, teacher_circuit, settings)
    return map_heads(student, teacher, heads, controls, teacher_circuit, settings, outputs=outputs)


def choose_heads(student: Effects, circuit: Record, settings: MappingSettings) -> dict[str, Any]:
    """H_s with the role and the hash of the model. Of the settings: student_heads, fraction, performance.

    Here impact is the mean size of a head's effect on an example, whatever form equation 3 has: a head that
    helps one cell and harms another counts.
    """
    if settings.student_heads == "discovered":
        heads = discovered(circuit)
    else:
        base, ablated = (per_example(side, settings.performance) for side in (student.base, student.ablated))
        heads = top_impact(np.abs(base - ablated).mean(axis=-1), settings.fraction)
    return {
        "role": circuit["role"],
        "student_heads": [list(head) for head in heads],
        "n_student_heads_total": int(np.prod(student.shape)),
        "model_hash": circuit["model_hash"],
    }


def draw_controls(
    student: Effects, teacher: Effects, heads: Record, teacher_circuit: Record, settings: MappingSettings
) -> dict[str, Any]:
    """Control pairs that differ from the pairs of equation 5, whatever `settings.rule` is."""
    sides = _sides(student, teacher, heads, teacher_circuit, settings)
    pairs = match_heads(*sides.impacts(settings.student_form), EQUATION_5)
    aligned = [(sides.student_heads[i], sides.teacher_heads[j]) for i, j in pairs]
    pool = sides.teacher_heads if settings.random_from == "circuit" else teacher.every_head()
    drawn = random_pairs(aligned, pool, settings.seed)
    return {
        "role": heads["role"],
        "pairs": [{"student": list(own), "teacher": list(other)} for own, other in drawn],
        "hashes": {"student": heads["model_hash"], "teacher": teacher_circuit["model_hash"]},
    }


def map_heads(
    student: Effects,
    teacher: Effects,
    heads: Record,
    controls: Record,
    teacher_circuit: Record,
    settings: MappingSettings,
    *,
    outputs: tuple[HeadOutputs, HeadOutputs] | None = None,
) -> dict[str, Any]:
    """The mapping in JSON types: `record.mapping_record` with the student's role and relevant heads.

    Effects are of the same examples. `outputs` maps the heads of student and teacher to their outputs, for
    rules that compare these. ValueError for effects on different examples, a circuit without heads, and
    whatever the steps refuse.
    """
    sides = _sides(student, teacher, heads, teacher_circuit, settings)
    impacts = sides.impacts(settings.student_form)
    features = sides.features(settings.rule, outputs)
    pairs = match_heads(*impacts, settings.rule, features=features, seed=settings.seed)
    record = mapping_record(
        sides.student_heads,
        sides.teacher_heads,
        *impacts,
        pairs,
        distances=head_distances(*impacts, settings.rule, features=features),
        rule=settings.rule,
        form=settings.student_form,
        baseline=settings.baseline,
        performance=settings.performance,
        random_pairs=[(pair["student"], pair["teacher"]) for pair in controls["pairs"]],
        stability=_stability(sides, pairs, student.groups, settings),
        parameters=settings.model_dump(),
        hashes=controls["hashes"],
    )
    return {name: heads[name] for name in ("role", "student_heads", "n_student_heads_total")} | record


def _sides(
    student: Effects, teacher: Effects, heads: Record, teacher_circuit: Record, settings: MappingSettings
) -> _Sides:
    if student.examples != teacher.examples:
        raise ValueError("student and teacher effects are of different examples: make both on one split")
    measure = settings.performance
    ours = [(layer, head) for layer, head in heads["student_heads"]]
    theirs = discovered(teacher_circuit)
    bases = {"student": per_example(student.base, measure), "teacher": per_example(teacher.base, measure)}
    return _Sides(
        student_heads=ours,
        teacher_heads=theirs,
        student_base=bases["student"],
        student_ablated=student.at(ours, measure),
        teacher_base=bases["teacher"],
        teacher_ablated=teacher.at(theirs, measure),
        baseline=bases[settings.baseline],
    )


def _stability(
    sides: _Sides, pairs: list[tuple[int, int]], groups: NDArray, settings: MappingSettings
) -> list[float] | None:
    """Per pair, for the rules that look at mean impacts alone."""
    if not RULES[settings.rule].resamples:
        return None
    return pair_stability(
        pairs,
        sides.student_base,
        sides.student_ablated,
        sides.baseline,
        sides.teacher_ablated,
        groups,
        rule=settings.rule,
        form=settings.student_form,
        seed=settings.seed,
    )
