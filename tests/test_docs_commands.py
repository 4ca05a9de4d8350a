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
SOURCES = DOCS.parent / "src" / "circuit_distillation"
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


def test_errors_are_quoted_as_they_are_raised():
    sources = "".join(path.read_text() for path in SOURCES.rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", sources)  # a literal over several lines
    page = (DOCS / "models.md").read_text()
    table = page.partition("## What is refused")[2].partition("\n## ")[0]
    cells = [row.split("|")[2] for row in table.splitlines() if row.startswith("| ")][1:]
    quoted = [words for cell in cells for words in re.findall(r"`([^`]+)`", cell)]
    assert len(quoted) > 30
    assert [words for words in quoted if words not in joined] == []
