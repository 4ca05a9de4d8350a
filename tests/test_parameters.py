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


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("tsk", "tom", "unknown parameter `tsk`: did you mean `task`?"),
        ("task", "tomm", "parameter `task` = 'tomm': input should be 'entity' or 'tom'"),
        ("seed", -1, "parameter `seed` = -1: input should be greater than or equal to 0"),
        ("seed", "one", "parameter `seed` = 'one': input should be a valid integer"),
        ("experiment", "../../x", "parameter `experiment` = '../../x': string should match pattern"),
        ("experiment", "/tmp", "parameter `experiment` = '/tmp': string should match pattern"),
        ("distillation.cka_wieght", 1, "`distillation.cka_wieght`: did you mean `cka_weight`?"),
        ("distillation.cka_weight", -1, "`distillation.cka_weight` = -1: input should be greater than or equal to 0"),
        ("distillation.estimator", "best", "input should be 'biased' or 'unbiased'"),
        ("head_mapping.rule", "closest", "`head_mapping.rule` = 'closest': input should be 'nearest'"),
        ("circuit_discovery.tom.fraction", 1.5, "input should be less than or equal to 1"),
        ("evaluation.n_random_circuits", 0, "input should be greater than or equal to 1"),
    ],
)
def test_a_fault_is_one_line_with_the_remedy(shipped, path, value, message):
    *parents, key = path.split(".")
    block = shipped
    for parent in parents:
        block = block[parent]
    block[key] = value
    with pytest.raises(ParameterError) as caught:
        validate(shipped)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named(shipped):
    del shipped["distillation"]["epochs"]
    with pytest.raises(ParameterError, match="`distillation.epochs` is missing"):
        validate(shipped)
