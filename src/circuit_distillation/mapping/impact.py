"""Ablation impact of heads: equations 3 and 4 of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

FORMS = ("difference", "ratio")
# P as a parameter names it -> the column of ablation effects that holds it per example
FIELDS = {"logprob": "log_prob", "accuracy": "correct", "logit_diff": "logit_diff"}

Floats = NDArray[np.float64]


def per_example(columns: Mapping[str, ArrayLike], measure: str) -> Floats:
    """P of every example, [..., example]; the performance of a model is its mean over the last axis.

    `columns` holds `log_prob` (nats of the answer, for "logprob"), `correct` (0 or 1, for "accuracy") or
    `logit_diff` (answer minus the best other candidate).
    """
    if measure not in FIELDS:
        raise ValueError(f"performance {measure!r} is unknown; choose one of {', '.join(FIELDS)}")
    field = FIELDS[measure]
    if field not in columns:
        raise ValueError(
            f"performance {measure!r} needs {field!r} per example; recorded are {sorted(columns)}"
        )
    values = as_finite(columns[field], field)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(f"{field!r} has no examples to average over; give an array [..., example]")
    return values


def student_impact(base: ArrayLike, ablated: ArrayLike, form: str = "difference") -> Floats:
    """Equation 3: how much the student loses without a head. Any shape of `ablated`; `base` broadcasts.

    "difference" is P_base - P_abl, what the text, equation 4 and equation 5 need. "ratio" is P_base / P_abl
    as printed; it is not on the scale of equation 4, and with a negative P (log-probabilities) the largest
    loss gives the smallest ratio.
    """
    if form not in FORMS:
        raise ValueError(f"form {form!r} is unknown; choose one of {', '.join(FORMS)}")
    base, ablated = as_finite(base, "base"), as_finite(ablated, "ablated")
    if form == "difference":
        return base - ablated
    if np.any(ablated == 0):
        raise ValueError(
            'form "ratio" divides by a performance of 0; use form "difference" or performance "logprob"'
        )
    return base / ablated


def teacher_impact(student_base: ArrayLike, ablated: ArrayLike) -> Floats:
    """Equation 4: P_base - P_abl of the teacher's heads. Shape of `ablated` (any).

    Printed with the *student's* unablated performance, so that impacts are relative to what the student can
    do; passing the teacher's own (parameter `baseline: teacher`) gives the plain ablation effect.
    """
    return as_finite(student_base, "student_base") - as_finite(ablated, "ablated")


def as_finite(values: ArrayLike | Sequence[ArrayLike], name: str) -> Floats:
    """`values` as float64; ValueError where something is not a finite number."""
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name!r} holds values that are not finite; look at the ablation that produced them"
        )
    return array
