"""Parameters: the shipped files are valid, and a fault is one line that names the key and the remedy."""

import pytest
from configuration import CONF, assert_refused
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


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("student", "tiny", "`student` = 'tiny': there are small, medium"),
        ("student", "large.circuit_ce", "there are small, medium"),
        ("student", "small.circuit_cee", "there is no arm circuit_cee, there is circuit_ce"),
        ("student", "../small", "a student, such as small"),
        ("heads.pairs", "1.3", "a head such as L1.H3"),
        ("heads.n_prompts", 0, "`heads.n_prompts` = 0"),
        ("bundle.repo", "no-owner", "owner/name of a repository"),
        ("bundle.push", True, "`push` needs `repo`, where to: --params bundle.repo=owner/name"),
    ],
)
def test_what_is_asked_of_one_student_is_checked(shipped, path, value, message):
    assert_refused(shipped, path, value, message)


def test_a_bundle_needs_a_student_with_its_arm(shipped):
    for student in (None, "small"):
        with pytest.raises(ValueError, match="student=small.circuit_ce_align_cka"):
            validate(shipped | {"student": student}).check_arm()
    validate(shipped | {"student": "medium.full_ce"}).check_arm()
    assert validate(shipped | {"heads": shipped["heads"] | {"pairs": "L1.H3+L2.H7"}}).heads.pairs == (
        "L1.H3",
        "L2.H7",
    )
