"""From stored ablation effects to the mapping of a student onto the teacher: equations 3 to 5, end to end.

There are three records: the relevant student heads, the control pairs (`controls`) and the mapping. Each
depends only on the data that it needs. So another matching rule does not change students without alignment or
with random pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuit_distillation.heads import Head
from circuit_distillation.mapping.attention import Profiles
from circuit_distillation.mapping.controls import draw_controls
from circuit_distillation.mapping.effects import Effects
from circuit_distillation.mapping.impact import per_example
from circuit_distillation.mapping.match import RULES, head_distances, match_heads
from circuit_distillation.mapping.record import mapping_record, pair_stability
from circuit_distillation.mapping.relevant_heads import discovered, top_impact
from circuit_distillation.mapping.roles import roles_of
from circuit_distillation.mapping.settings import MappingSettings
from circuit_distillation.mapping.sides import Evidence, HeadOutputs, Record, Sides, sides_of


def build_mapping(
    student: Effects,
    teacher: Effects,
    student_circuit: Record,
    teacher_circuit: Record,
    settings: MappingSettings,
    *,
    outputs: tuple[HeadOutputs, HeadOutputs] | None = None,
    profiles: tuple[Profiles, Profiles] | None = None,
    ancestry: Mapping[Head, Head] | None = None,
) -> dict[str, Any]:
    """All three steps: the mapping as `map_heads` gives it.

    Circuits are in their stored form (heads, stages, model_hash; role of the student's). `outputs`,
    `profiles` and `ancestry` are for rules that compare these.
    """
    roles = roles_of(student_circuit), roles_of(teacher_circuit)
    evidence = Evidence(outputs, profiles, roles, ancestry or {})
    heads = choose_heads(student, student_circuit, settings)
    controls = draw_controls(student, teacher, heads, teacher_circuit, settings, profiles=profiles)
    return map_heads(student, teacher, heads, controls, teacher_circuit, settings, evidence=evidence)


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


def map_heads(
    student: Effects,
    teacher: Effects,
    heads: Record,
    controls: Record,
    teacher_circuit: Record,
    settings: MappingSettings,
    *,
    evidence: Evidence = Evidence(),
) -> dict[str, Any]:
    """The mapping in JSON types: `record.mapping_record` with the student's role and relevant heads.

    Effects are of the same examples. ValueError for effects on different examples, a circuit without heads,
    and whatever the steps refuse.
    """
    sides = sides_of(student, teacher, heads, teacher_circuit, settings)
    impacts = sides.impacts(settings.student_form)
    features = sides.features(settings, evidence)
    pairs = match_heads(
        *impacts, settings.rule, features=features, seed=settings.seed, max_distance=settings.max_distance
    )
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


def _stability(
    sides: Sides, pairs: list[tuple[int, int]], groups: NDArray, settings: MappingSettings
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
