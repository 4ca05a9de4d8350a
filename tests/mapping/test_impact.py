from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from circuit_distillation.mapping.impact import per_example, student_impact, teacher_impact

values = st.lists(st.floats(-5, 5, allow_nan=False), min_size=1, max_size=12)


@given(base=st.floats(-5, 5), ablated=values)
def test_impacts_follow_equations_3_and_4(base: float, ablated: list[float]) -> None:
    naive = [base - p for p in ablated]
    assert np.allclose(student_impact(base, ablated), naive, atol=1e-9, rtol=0)
    assert np.allclose(teacher_impact(base, ablated), naive, atol=1e-9, rtol=0)


@given(base=st.floats(0.1, 1), ablated=st.lists(st.floats(0.05, 1), min_size=1, max_size=9))
def test_ratio_is_base_over_ablated(base: float, ablated: list[float]) -> None:
    assert np.allclose(
        student_impact(base, ablated, "ratio"), [base / p for p in ablated], atol=0, rtol=1e-12
    )


def test_impacts_keep_the_shape_of_the_ablated_model_and_take_tensors() -> None:
    ablated = torch.rand(3, 4, dtype=torch.float64)
    impact = student_impact(torch.tensor(0.5), ablated)
    assert impact.shape == (3, 4)
    assert np.allclose(impact, 0.5 - ablated.numpy())


def test_a_larger_loss_is_a_larger_impact() -> None:
    impact = student_impact(0.9, [0.1, 0.8])
    assert impact[0] > impact[1] > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: student_impact(1.0, [0.5], "quotient"), "difference, ratio"),
        (lambda: student_impact(1.0, [0.0], "ratio"), "divides by a performance of 0"),
        (lambda: student_impact(1.0, [float("nan")]), "not finite"),
        (lambda: teacher_impact(float("inf"), [0.0]), "not finite"),
        (lambda: per_example({"log_prob": [1.0]}, "f1"), "logprob, accuracy, logit_diff"),
        (lambda: per_example({"log_prob": [1.0]}, "accuracy"), "needs 'correct'"),
        (lambda: per_example({"correct": []}, "accuracy"), "no examples"),
        (lambda: per_example({"correct": 1.0}, "accuracy"), "no examples"),
    ],
)
def test_bad_input_says_what_to_do(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_every_measure_has_its_column() -> None:
    columns = {"log_prob": [[-1.0, -2.0]], "correct": [[True, False]], "logit_diff": [[2.0, 4.0]]}
    assert per_example(columns, "logprob").tolist() == [[-1.0, -2.0]]
    assert per_example(columns, "accuracy").tolist() == [[1.0, 0.0]]
    assert per_example(columns, "logit_diff").tolist() == [[2.0, 4.0]]
