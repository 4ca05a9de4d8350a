"""The heads that are to be paired, and what matching rules compare of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import ArrayLike, NDArray

from circuit_distillation.heads import Head
from circuit_distillation.mapping.attention import Profiles, check_layouts, head_profiles
from circuit_distillation.mapping.effects import Effects
from circuit_distillation.mapping.impact import per_example, student_impact, teacher_impact
from circuit_distillation.mapping.match import RULES, Features
from circuit_distillation.mapping.relevant_heads import discovered
from circuit_distillation.mapping.roles import Roles
from circuit_distillation.mapping.settings import MappingSettings

HeadOutputs = Mapping[Head, ArrayLike]  # (layer, head) -> [example, d_head]
Record = Mapping[str, Any]  # plain JSON types


@dataclass(frozen=True)
class Evidence:
    """What rules may compare beside effects, of the student and of the teacher; what no rule reads may be
    absent."""

    outputs: tuple[HeadOutputs, HeadOutputs] | None = None
    profiles: tuple[Profiles, Profiles] | None = None
    roles: tuple[Roles, Roles] = ({}, {})
    ancestry: Mapping[Head, Head] = field(default_factory=dict)  # student head -> teacher head


@dataclass(frozen=True)
class Sides:
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

    def features(self, settings: MappingSettings, evidence: Evidence) -> Features | None:
        """What the rule of the settings compares beside mean impacts, one entry a head.

        None for mean impacts, and where the evidence lacks it. ValueError for a rule that this family or
        these circuits cannot have.
        """
        compared = RULES[settings.rule].needs
        return _FEATURES[compared](self, settings, evidence) if compared in _FEATURES else None


def sides_of(
    student: Effects, teacher: Effects, heads: Record, teacher_circuit: Record, settings: MappingSettings
) -> Sides:
    """The relevant student heads and the teacher heads that the rule may choose.

    ValueError for effects on different examples, and for a circuit without heads.
    """
    if student.examples != teacher.examples:
        raise ValueError("student and teacher effects are of different examples: make both on one split")
    measure = settings.performance
    ours = [(layer, head) for layer, head in heads["student_heads"]]
    theirs = discovered(teacher_circuit) if RULES[settings.rule].in_circuit else teacher.every_head()
    bases = {"student": per_example(student.base, measure), "teacher": per_example(teacher.base, measure)}
    return Sides(
        student_heads=ours,
        teacher_heads=theirs,
        student_base=bases["student"],
        student_ablated=student.at(ours, measure),
        teacher_base=bases["teacher"],
        teacher_ablated=teacher.at(theirs, measure),
        baseline=bases[settings.baseline],
    )


def ancestors(stored: Mapping[str, Any], role: str) -> dict[Head, Head]:
    """Student head -> the head of the large model that it was, from what pruning stores for all roles.

    Empty for students that were not pruned from it.
    """
    return {tuple(head): tuple(ancestor) for head, ancestor in stored.get(role, ())}


def _effects(sides: Sides, _: MappingSettings, __: Evidence) -> Features:
    return sides.student_base - sides.student_ablated, sides.teacher_base - sides.teacher_ablated


def _outputs(sides: Sides, _: MappingSettings, evidence: Evidence) -> Features | None:
    if evidence.outputs is None:
        return None
    student, teacher = evidence.outputs
    return [student[head] for head in sides.student_heads], [teacher[head] for head in sides.teacher_heads]


def _attention(sides: Sides, _: MappingSettings, evidence: Evidence) -> Features | None:
    if evidence.profiles is None:
        return None
    check_layouts(*evidence.profiles)
    student, teacher = evidence.profiles
    return head_profiles(student, sides.student_heads), head_profiles(teacher, sides.teacher_heads)


def _roles(sides: Sides, settings: MappingSettings, evidence: Evidence) -> Features:
    if not all(evidence.roles):
        raise ValueError(
            f"matching rule {settings.rule!r} needs circuits that were searched in several stages, as those "
            "of entity tracking are: choose another rule for this task"
        )
    heads, impacts = (sides.student_heads, sides.teacher_heads), sides.impacts(settings.student_form)
    student, teacher = (
        [(float(impact), roles.get(head, frozenset())) for head, impact in zip(side, values, strict=True)]
        for side, values, roles in zip(heads, impacts, evidence.roles, strict=True)
    )
    return student, teacher


def _ancestors(sides: Sides, settings: MappingSettings, evidence: Evidence) -> Features:
    if not evidence.ancestry:
        raise ValueError(
            f"matching rule {settings.rule!r} needs students that were pruned from the large model, and "
            "those of this family were not: choose another rule"
        )
    return [evidence.ancestry.get(head) for head in sides.student_heads], sides.teacher_heads


_FEATURES = {
    "effects": _effects,
    "outputs": _outputs,
    "attention": _attention,
    "roles": _roles,
    "ancestry": _ancestors,
}
