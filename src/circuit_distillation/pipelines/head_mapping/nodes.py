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
    student_effects, teacher_effects, student_profiles, teacher_profiles, teacher_circuit, heads, **choices
) -> dict[str, Any]:
    """Random control pairs of one student; `choices` are the settings that they depend on."""
    from circuit_distillation.mapping import controls
    from circuit_distillation.mapping.effects import Effects

    effects = Effects.from_frame(student_effects), Effects.from_frame(teacher_effects)
    profiles = student_profiles, teacher_profiles
    settings = MappingSettings(**choices)
    return controls.draw_controls(*effects, heads, teacher_circuit, settings, profiles=profiles)


def map_heads(
    student_effects,
    teacher_effects,
    teacher_circuit: dict,
    heads: dict,
    controls: dict,
    settings: MappingSettings,
    **stored,
) -> dict[str, Any]:
    """A mapping of one student: pairs, refused heads, control pairs, ties, distinct teacher heads."""
    from circuit_distillation.mapping import build
    from circuit_distillation.mapping.effects import Effects

    effects = Effects.from_frame(student_effects), Effects.from_frame(teacher_effects)
    evidence = _evidence(teacher_circuit, heads, **stored)
    return build.map_heads(*effects, heads, controls, teacher_circuit, settings, evidence=evidence)


def draw_other_roles(mapping: dict, teacher_circuit: dict, teacher_profiles, seed: int) -> dict[str, Any]:
    """For each pair of a mapping a teacher head of another function."""
    from circuit_distillation.mapping import controls

    return controls.draw_other_roles(mapping, teacher_circuit, teacher_profiles, seed)


def score_rules(
    student_effects, teacher_effects, teacher_circuit: dict, heads: dict, settings: MappingSettings, **stored
):
    """How every matching rule maps the heads of one student: a row a rule, beside the truth."""
    import pandas as pd

    from circuit_distillation.mapping import score
    from circuit_distillation.mapping.effects import Effects

    effects = Effects.from_frame(student_effects), Effects.from_frame(teacher_effects)
    evidence = _evidence(teacher_circuit, heads, **stored)
    return pd.DataFrame(score.score_rules(*effects, heads, teacher_circuit, settings, evidence))


def _evidence(
    teacher_circuit: dict,
    heads: dict,
    student_features,
    teacher_features,
    student_profiles,
    teacher_profiles,
    student_circuit: dict,
    ancestry: dict | None = None,
):
    """What rules compare beside effects. Families that were loaded have no `ancestry`."""
    from circuit_distillation.mapping.effects import features_from_frame
    from circuit_distillation.mapping.roles import roles_of
    from circuit_distillation.mapping.sides import Evidence, ancestors

    return Evidence(
        outputs=(features_from_frame(student_features), features_from_frame(teacher_features)),
        profiles=(student_profiles, teacher_profiles),
        roles=(roles_of(student_circuit), roles_of(teacher_circuit)),
        ancestry=ancestors(ancestry or {}, heads["role"]),
    )
