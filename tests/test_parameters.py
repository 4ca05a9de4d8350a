"""Parameters: the shipped files are valid, and a fault is one line that names the key and the remedy."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from circuit_distillation.parameters import ParameterError, validate

BASE = Path(__file__).parent.parent / "conf" / "base"


@pytest.fixture
def shipped() -> dict:
    """The parameters of conf/base, with the defaults of globals.yml filled in."""
    defaults = OmegaConf.load(BASE / "globals.yml")
    OmegaConf.clear_resolver("globals")
    OmegaConf.register_new_resolver("globals", lambda key: defaults[key])
    merged = OmegaConf.merge(*(OmegaConf.load(path) for path in sorted(BASE.glob("parameters*.yml"))))
    parameters = OmegaConf.to_container(merged, resolve=True)
    OmegaConf.clear_resolver("globals")
    return parameters


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
