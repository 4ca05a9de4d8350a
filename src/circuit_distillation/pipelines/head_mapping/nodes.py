"""Map the heads of a student onto heads of the teacher."""

from __future__ import annotations

from circuit_distillation.parameters import HeadMapping
from circuit_distillation.parameters.study import chosen_settings


def map_heads(
    student_effects,
    student_features,
    student_circuit: dict,
    teacher_effects,
    teacher_features,
    teacher_circuit: dict,
    parameters: HeadMapping,
    task: str,
    seed: int,
    chosen: dict,
    family: str,
) -> dict:
    """The mapping of one student: pairs, control pairs, ties, distinct teacher heads."""
    from circuit_distillation.mapping.build import MappingSettings, build_mapping
    from circuit_distillation.mapping.effects import Effects, features_from_frame

    outputs = None
    if parameters.rule == "cka":
        outputs = features_from_frame(student_features), features_from_frame(teacher_features)
    shared = chosen_settings(chosen, family, task)
    fraction = shared.get("fraction", getattr(parameters.fraction, task))
    settings = parameters.model_dump() | {"fraction": fraction, "seed": seed}
    return build_mapping(
        Effects.from_frame(student_effects),
        Effects.from_frame(teacher_effects),
        student_circuit,
        teacher_circuit,
        MappingSettings(**settings),
        outputs=outputs,
    )
