"""The choices of equations 3 to 5; importing this module imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from circuit_distillation.mapping.impact import FIELDS, FORMS
from circuit_distillation.mapping.match import RULES
from circuit_distillation.ranges import CountOrZero, Fraction, OneOf, Strict, Weight


class MappingChoices(Strict):
    """What a user chooses for all tasks. The default of each is that of conf/base."""

    student_form: Annotated[str, OneOf(FORMS)] = "difference"  # equation 3
    baseline: Literal["student", "teacher"] = "student"  # whose performance equation 4 starts from
    performance: Annotated[str, OneOf(FIELDS)] = "logprob"  # P
    rule: Annotated[str, OneOf(RULES)] = "nearest"  # equation 5
    max_distance: Weight = 0.32  # nats; rules that are limited refuse a pair that is farther apart
    student_heads: Literal["top_impact", "discovered"] = "top_impact"  # H_s, or the student's own circuit
    # The teacher's heads that control pairs draw from.
    random_from: Literal["circuit", "any_head", "other_role"] = "circuit"


class MappingSettings(MappingChoices):
    """The choices of one task."""

    fraction: Fraction  # share of student heads in H_s, for student_heads "top_impact"
    seed: CountOrZero = 0  # of control pairs, of the rule "random" and of the resampling
