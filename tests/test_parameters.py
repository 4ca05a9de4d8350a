"""Parameters: the shipped files are valid, and a fault is one line that names the key and the remedy."""

import pytest
from configuration import CONF
from kedro.config import OmegaConfigLoader

from circuit_distillation.parameters import ParameterError, validate


def test_shipped_parameters_are_valid(shipped):
    parameters = validate(shipped)
    assert (parameters.task, parameters.seed, parameters.experiment) == ("entity", 0, "paper")


def test_a_missing_key_is_named(shipped):
    del shipped["distillation"]["epochs"]
    with pytest.raises(ParameterError, match="`distillation.epochs` is missing"):
        validate(shipped)


def test_one_parameter_says_how_many_processes_every_stage_has():
    options = {"base_env": "base", "default_run_env": "local", "merge_strategy": {"parameters": "soft"}}
    given = {"processes": 4, "circuit_discovery": {"processes": 2}}
    loader = OmegaConfigLoader(str(CONF), env="llama3", runtime_params=given, **options)
    parameters = validate(loader["parameters"])
    shared = (parameters.finetuning.processes, parameters.distillation.processes)
    assert (*shared, parameters.machine.n_gpus) == (4, 4, 4)
    assert parameters.circuit_discovery.processes == 2
