"""From stored ablation effects to the mapping of a student onto the teacher: equations 3 to 5, end to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuit_distillation.mapping.effects import Effects, Head
from circuit_distillation.mapping.impact import per_example, student_impact, teacher_impact
from circuit_distillation.mapping.match import Features, head_distances, match_heads
from circuit_distillation.mapping.pairs import random_pairs
from circuit_distillation.mapping.record import mapping_record, pair_stability
from circuit_distillation.mapping.relevant_heads import discovered, top_impact

CHOICES = {
    "baseline": ("student", "teacher"),
    "student_heads": ("top_impact", "discovered"),
    "random_from": ("circuit", "any_head"),
}
HeadOutputs = Mapping[Head, ArrayLike]  # (layer, head) -> [example, d_head]


@dataclass(frozen=True)
class MappingSettings:
    """The choices of equations 3 to 5; those of `student_form`, `performance` and `rule` are listed in
    mapping.impact and mapping.match. ValueError for an unknown one of the rest."""

    fraction: float  # share of student heads in H_s, for student_heads "top_impact"
    student_form: str = "difference"  # equation 3
    baseline: str = "student"  # whose unablated performance equation 4 starts from, or "teacher"
    performance: str = "logprob"  # P
    rule: str = "nearest"  # equation 5
    student_heads: str = "top_impact"  # H_s, or "discovered": the student's own circuit
    random_from: str = "circuit"  # control pairs draw from the teacher's circuit, or "any_head"
    seed: int = 0  # of control pairs, of the rule "random" and of the resampling

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} {getattr(self, name)!r} is unknown; choose one of {', '.join(choices)}"
                )


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
        """What the rules "profile" and "cka" compare: effects per example, or head outputs."""
        if rule == "profile":
            return self.student_base - self.student_ablated, self.teacher_base - self.teacher_ablated
        if rule == "cka" and outputs is not None:
            heads = (self.student_heads, self.teacher_heads)
            student, teacher = ([of[head] for head in side] for side, of in zip(heads, outputs, strict=True))
            return student, teacher
        return None


def build_mapping(
    student: Effects,
    teacher: Effects,
    student_circuit: Mapping[str, Any],
    teacher_circuit: Mapping[str, Any],
    settings: MappingSettings,
    *,
    outputs: tuple[HeadOutputs, HeadOutputs] | None = None,
) -> dict[str, Any]:
    """The mapping in JSON types: `record.mapping_record` with the student's role and relevant heads.

    Effects are of the same examples; circuits are in their stored form (heads, model_hash; role of the
    student's). `outputs` maps the heads of student and teacher to their outputs, for the rule "cka".
    ValueError for effects on different examples, a circuit without heads, and whatever the steps refuse.
    """
    if student.examples != teacher.examples:
        raise ValueError("student and teacher effects are of different examples: make both on one split")
    sides = _sides(student, teacher, student_circuit, teacher_circuit, settings)
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
        random_pairs=_control_pairs(sides, pairs, teacher, settings),
        stability=_stability(sides, pairs, student.groups, settings),
        parameters=asdict(settings),
        hashes={"student": student_circuit["model_hash"], "teacher": teacher_circuit["model_hash"]},
    )
    return {
        "role": student_circuit["role"],
        "student_heads": [list(head) for head in sides.student_heads],
        "n_student_heads_total": int(np.prod(student.shape)),
        **record,
    }


def _sides(
    student: Effects,
    teacher: Effects,
    student_circuit: Mapping[str, Any],
    teacher_circuit: Mapping[str, Any],
    settings: MappingSettings,
) -> _Sides:
    measure = settings.performance
    ours, theirs = _relevant_heads(student, student_circuit, settings), discovered(teacher_circuit)
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


def _relevant_heads(student: Effects, circuit: Mapping[str, Any], settings: MappingSettings) -> list[Head]:
    """H_s. Here impact is the mean size of a head's effect on an example, whatever form equation 3 has: a
    head that helps one cell and harms another counts."""
    if settings.student_heads == "discovered":
        return discovered(circuit)
    base, ablated = (per_example(side, settings.performance) for side in (student.base, student.ablated))
    return top_impact(np.abs(base - ablated).mean(axis=-1), settings.fraction)


def _control_pairs(
    sides: _Sides, pairs: list[tuple[int, int]], teacher: Effects, settings: MappingSettings
) -> list[tuple[Head, Head]]:
    aligned = [(sides.student_heads[i], sides.teacher_heads[j]) for i, j in pairs]
    pool = sides.teacher_heads if settings.random_from == "circuit" else teacher.every_head()
    return random_pairs(aligned, pool, settings.seed)


def _stability(
    sides: _Sides, pairs: list[tuple[int, int]], groups: NDArray, settings: MappingSettings
) -> list[float] | None:
    """Per pair, for the rules that look at mean impacts alone."""
    if settings.rule not in ("nearest", "one_to_one"):
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
