"""Parameters: the shipped files are valid, and a fault is one line that names the key and the remedy."""

import pytest

from circuit_distillation.parameters import ParameterError, validate


def test_shipped_parameters_are_valid(shipped):
    parameters = validate(shipped)
    assert (parameters.task, parameters.seed, parameters.experiment) == ("entity", 0, "paper")


def test_every_shipped_arm_is_named_as_its_key(shipped):
    parameters = validate(shipped)
    assert parameters.arms == {name: name for name in parameters.arms}


def test_a_missing_key_is_named(shipped):
    del shipped["distillation"]["epochs"]
    with pytest.raises(ParameterError, match="`distillation.epochs` is missing"):
        validate(shipped)
