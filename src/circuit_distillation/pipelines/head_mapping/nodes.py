"""Relevant heads of a student, control pairs, and the mapping onto heads of the teacher."""

from __future__ import annotations

from typing import Any

from circuit_distillation.mapping.settings import MappingSettings


def choose_heads(effects, circuit: dict, **choices) -> dict[str, Any]:
    """The relevant heads of one student; `choices` are the settings that they depend on."""
    from circuit_distillation.mapping import build
    from circuit_distillation.mapping.effects import Effects

    return build.choose_heads(Effects.from_frame(effects), circuit, MappingSettings(**choices))


def draw_controls(
    student_effects, teacher_effects, teacher_circuit: dict, heads: dict, **choices
) -> dict[str, Any]:
    """Random control pairs of one student; `choices` are the settings that they depend on."""
    from circuit_distillation.mapping import build
    from circuit_distillation.mapping.effects import Effects

    effects = Effects.from_frame(student_effects), Effects.from_frame(teacher_effects)
    return build.draw_controls(*effects, heads, teacher_circuit, MappingSettings(**choices))


def map_heads(
    student_effects,
    student_features,
    teacher_effects,
    teacher_features,
    teacher_circuit: dict,
    heads: dict,
    controls: dict,
    settings: MappingSettings,
) -> dict[str, Any]:
    """The mapping of one student: pairs, control pairs, ties, distinct teacher heads."""
    from circuit_distillation.mapping import build
    from circuit_distillation.mapping.effects import Effects, features_from_frame

    effects = Effects.from_frame(student_effects), Effects.from_frame(teacher_effects)
    outputs = features_from_frame(student_features), features_from_frame(teacher_features)
    return build.map_heads(*effects, heads, controls, teacher_circuit, settings, outputs=outputs)
