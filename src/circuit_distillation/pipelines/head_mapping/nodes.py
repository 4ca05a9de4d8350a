"""Map the heads of a student onto heads of the teacher."""

from __future__ import annotations

from circuit_distillation.parameters import HeadMapping


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
) -> dict:
    """The mapping of one student: pairs, control pairs, ties, distinct teacher heads."""
    from circuit_distillation.mapping.build import Effects, build_mapping, features_from_frame

    settings = parameters.model_dump(exclude={"fraction"})
    features = None
    if parameters.rule == "cka":
        features = features_from_frame(student_features), features_from_frame(teacher_features)
    return build_mapping(
        Effects.from_frame(student_effects),
        Effects.from_frame(teacher_effects),
        teacher_circuit,
        student_circuit,
        fraction=parameters.fraction[task],
        settings=settings,
        seed=seed,
        features=features,
    )
