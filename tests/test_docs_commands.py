"""The commands in README and docs/ are understood."""

from __future__ import annotations

import copy
import re
import shlex
from pathlib import Path

import pytest
import yaml
from configuration import shipped_parameters
from kedro.framework.cli.project import run

from circuit_distillation import grid
from circuit_distillation.cli import status
from circuit_distillation.parameters import validate
from circuit_distillation.pipeline_registry import register_pipelines

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SOURCES = ROOT / "src" / "circuit_distillation"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
SHOWN = re.compile(r"^ {4}(kedro (?:run|status) .*?)(?: {3}|$)|`(kedro (?:run|status) [^`]+)`", re.MULTILINE)
COMMANDS = [
    (page.name, " ".join(filter(None, found)))
    for page in PAGES
    for found in SHOWN.findall(page.read_text())
    if "NAME" not in "".join(found)  # stands for any
]


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda part: part[:60])
def test_a_command_is_understood_and_its_parameters_are_known(page, command, monkeypatch):
    monkeypatch.setattr(grid, "_selected", dict(grid._selected))
    name, *words = shlex.split(command)[1:]
    options = {"run": run, "status": status}[name].make_context(name, words).params
    # a family of the user is written like llama3
    given = copy.deepcopy(shipped_parameters(*(("base", "llama3") if options["env"] else ("base",))))
    for dotted, value in flat(options["params"]):
        *parents, key = dotted.split(".")
        block = given
        for parent in parents:
            block = block[parent]
        assert key in block
        block[key] = value
    parameters = validate(given)
    grid.select(parameters.task, loaded=parameters.family.models is not None)
    known = register_pipelines()
    assert set(options.get("pipelines") or ()) <= set(known)
    for namespace in options.get("namespaces") or ():
        assert known["__default__"].only_nodes_with_namespaces([namespace]).nodes


def test_every_page_with_commands_is_read():
    assert {"README.md", "models.md", "scaling.md", "reuse.md", "tutorial_new_task.md"} <= dict(
        COMMANDS
    ).keys()


def flat(mapping: dict, prefix: str = ""):
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_a_family_is_ten_lines():
    block = re.search(r"```yaml\n(family:\n.*?)```", (DOCS / "models.md").read_text(), re.DOTALL).group(1)
    assert len(block.splitlines()) == 10
    shown = yaml.safe_load(block.replace("COMMIT", "ab" * 20))["family"]
    given = copy.deepcopy(shipped_parameters("base", "llama3"))
    given["family"]["models"] = shown["models"]
    for role, entries in shown["roles"].items():
        given["family"]["roles"][role] |= entries
    parameters = validate(given)
    assert parameters.family.models.large.hub_id == "Qwen/Qwen3-4B-Base"
    assert parameters.family.roles.small.label == "0.6B"


def test_errors_are_quoted_as_they_are_raised():
    sources = "".join(path.read_text() for path in SOURCES.rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", sources)  # a literal over several lines
    page = (DOCS / "models.md").read_text()
    table = page.partition("## What is refused")[2].partition("\n## ")[0]
    cells = [row.split("|")[2] for row in table.splitlines() if row.startswith("| ")][1:]
    quoted = [words for cell in cells for words in re.findall(r"`([^`]+)`", cell)]
    assert len(quoted) > 30
    assert [words for words in quoted if words not in joined] == []
