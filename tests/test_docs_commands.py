"""What the pages under docs/ tell users to type is understood."""

from __future__ import annotations

import copy
import re
import shlex
from pathlib import Path

import pytest
import yaml
from configuration import shipped_parameters
from kedro.framework.cli.project import run

from circuit_distillation.parameters import validate

DOCS = Path(__file__).parent.parent / "docs"
COMMANDS = [
    (page, line.split("   ")[0].strip())
    for page in ("models.md", "scaling.md")
    for line in (DOCS / page).read_text().splitlines()
    if line.startswith("    kedro run ")
]


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda part: part[:60])
def test_a_command_is_understood_and_its_parameters_are_known(page, command):
    options = run.make_context("run", shlex.split(command)[2:]).params
    given = copy.deepcopy(shipped_parameters("base", "llama3"))
    for dotted, value in flat(options["params"]):
        *parents, key = dotted.split(".")
        block = given
        for parent in parents:
            block = block[parent]
        assert key in block
        block[key] = value
    validate(given)


def flat(mapping: dict, prefix: str = ""):
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_a_family_is_ten_lines():
    block = re.search(r"```yaml\n(family:.*?)```", (DOCS / "models.md").read_text(), re.DOTALL).group(1)
    assert len(block.splitlines()) == 10
    shown = yaml.safe_load(block.replace("COMMIT", "ab" * 20))["family"]
    given = copy.deepcopy(shipped_parameters("base", "llama3"))
    given["family"]["models"] = shown["models"]
    for role, entries in shown["roles"].items():
        given["family"]["roles"][role] |= entries
    told = validate(given)
    assert told.family.models.large.hub_id == "Qwen/Qwen3-8B-Base"
    assert told.family.roles.small.label == "0.6B"
