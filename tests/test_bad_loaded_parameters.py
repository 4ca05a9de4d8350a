"""Bad parameters of a family that is loaded, each with the one line that it must get."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from configuration import assert_refused, shipped_parameters

from circuit_distillation.parameters import validate

SMALL = "family.models.small"
GOAT = {"hub_id": "tiedong/goat", "revision": "0" * 40, "file": "dataset.json"}

PARAMETERS: list[tuple[str, Any, str]] = [
    (f"{SMALL}.hub_id", "Llama-3.2-1B", "must be an id of the hub, owner/name, of letters, digits and `_.-`"),
    (f"{SMALL}.hub_id", "../../etc/passwd", "must be an id of the hub"),
    (f"{SMALL}.revision", "main", "must be a commit of 40 hexadecimal digits (a branch would move)"),
    (f"{SMALL}.revision", None, "`revision` of meta-llama/Llama-3.2-1B is missing: pin a commit of 40 hexad"),
    (f"{SMALL}.hub_id", None, "give a `path`, or a `hub_id` with its `revision`"),
    (f"{SMALL}.path", "", "`family.models.small.path` = '': must be"),
    (f"{SMALL}.pth", "x", "unknown parameter `family.models.small.pth`: did you mean `path`?"),
    ("family.models", None, "a loaded family has both `models` and `loading`, the mini family neither"),
    ("family.loading.dtype", "fp32", "must be one of float32, bfloat16, float16"),
    ("family.loading.device_map", "auto", "must be cpu, cuda or cuda:N (one device holds a whole model)"),
    ("family.loading.attention", "flash_attention_2", "flash_attention_2 needs `dtype` bfloat16 or float16"),
    ("finetuning", None, "`finetuning` is missing: the family llama3 needs it"),
    ("finetuning.method.large", "qlora", "must be one of full, lora"),
    ("finetuning.sharded", True, "`sharded` spreads a model over processes: set `processes` to 2 or more"),
    ("finetuning.processes", 0, "must be a whole number, at least 1"),
    ("finetuning.lora.dropout", 1.5, "must be a number, at least 0, below 1"),
    ("finetuning.lora.targets", [], "must be a list, at least 1 long"),
    ("finetuning.tom.max_tokens", 4, "must be a whole number, at least 8"),
    ("machine.gpu_memory_gb", 0, "must be a number, above 0"),
    ("machine.utilisation", 40, "must be a number, above 0, at most 1"),
    ("data_generation.corpus.tom.source.file", None, "`file` is missing: name the data file of tatsu-lab"),
    ("data_generation.corpus.tom.source.revision", "v1", "must be a commit of 40 hexadecimal digits"),
    (
        "data_generation.corpus.entity.n_train",
        None,
        "`n_train` is null: give a number, or a `source` of which",
    ),
    (
        "data_generation.corpus.entity.source",
        GOAT,
        "with `n_heldout` = 1000 held out the data set has 1745300 items left at most; lower it",
    ),
    ("family.roles.medium", None, "`models.medium` has no role: add it to `roles`, or set it to null"),
    ("family.models.medium", None, "`models.medium` is missing: `roles` has it; name a model or set both"),
    ("family.roles.huge", {"name": "huge", "label": "H"}, "unknown parameter `family.roles.huge`: "),
    ("family.roles.large", None, "`family.roles.large` = None: must be"),
    ("family.roles", {"large": {"name": "large", "label": "L"}}, "the family has no student: give a label"),
    ("finetuning.method.medium", None, "`finetuning.method.medium` is missing: the family has the role"),
    ("held_out.bigtom", 3, "`held_out.bigtom` = 3: must be"),
]


@pytest.fixture
def shipped() -> dict:
    """The parameters of conf/base with those of conf/llama3 over them, globals filled in."""
    return copy.deepcopy(shipped_parameters("base", "llama3"))


def test_the_shipped_parameters_are_valid(shipped):
    assert validate(shipped).family.name == "llama3"


def test_the_laptop_setting_has_one_student_and_needs_nothing_but_two_folders():
    parameters = copy.deepcopy(shipped_parameters("base", "llama3", "qwen25_coder", "qwen25_coder_laptop"))
    for role in ("small", "large"):
        parameters["family"]["models"][role]["path"] = f"/models/{role}"
    assert validate(parameters).family.roles.students() == ("small",)


def test_all_of_a_file_that_is_not_held_out_may_be_taken(shipped):
    shipped["data_generation"]["corpus"]["entity"] |= {"source": GOAT, "n_train": None}
    assert validate(shipped).data_generation.corpus.entity.n_train is None


@pytest.mark.parametrize(("path", "value", "message"), PARAMETERS, ids=lambda part: repr(part)[:40])
def test_a_bad_parameter_gets_one_line(shipped, path, value, message):
    assert_refused(shipped, path, value, message)
