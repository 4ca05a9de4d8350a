"""Presets of conf/base/experiments.yml: chosen by the name of the experiment, outranked by the command."""

from __future__ import annotations

import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from circuit_distillation.hooks.parameters import InvalidParameterError, _preset
from circuit_distillation.parameters import ParameterError

from .conftest import ROOT


def head_mapping(data_root, **given) -> dict:
    bootstrap_project(ROOT)
    given = {"data_root": str(data_root), **given}
    with KedroSession.create(project_path=ROOT, env="test", runtime_params=given) as session:
        return session.load_context().config_loader["parameters"]["head_mapping"]


def test_as_printed_takes_the_paper_to_the_letter(tmp_path):
    default, printed = (head_mapping(tmp_path, experiment=name) for name in ("paper", "as_printed"))
    assert (default["student_form"], default["performance"]) == ("difference", "logprob")
    assert (printed["student_form"], printed["performance"]) == ("ratio", "accuracy")
    assert {**default, "student_form": "ratio", "performance": "accuracy"} == printed


def test_the_command_outranks_a_preset(tmp_path):
    given = head_mapping(tmp_path, experiment="as_printed", head_mapping={"performance": "logit_diff"})
    assert (given["student_form"], given["performance"]) == ("ratio", "logit_diff")


def test_a_preset_leaves_alone_what_experiments_share():
    loader = {"experiments": {"mine": {"circuit_discovery": {"tom": {"fraction": 0.5}}}}}
    with pytest.raises(ParameterError, match="`mine` .*sets `circuit_discovery`, which all"):
        _preset(loader, "mine")
    assert _preset(loader, "another") == {}


def test_a_family_is_not_renamed_by_a_parameter(tmp_path):
    with pytest.raises(InvalidParameterError, match=r"`family.name` = 'other'.*--env"):
        head_mapping(tmp_path, family={"name": "other"})
