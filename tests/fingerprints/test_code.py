"""The code version of a function, in a package of two modules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from circuit_distillation.fingerprints.code import CodeReader

SOURCE = """
from package.other import helped

SET = {1}
TABLE = {"a": helped}


def uses_set():
    return SET


def uses_table():
    return TABLE
"""


@pytest.fixture
def package(tmp_path) -> Path:
    """With modules `main` and `other`."""
    root = tmp_path / "package"
    root.mkdir()
    (root / "main.py").write_text(SOURCE)
    (root / "other.py").write_text("def helped():\n    return 1\n")
    return root


def version(package: Path, name: str) -> dict[str, str]:
    return CodeReader(package, "package", package / "kept.json").version("package.main", name)


@pytest.mark.parametrize(
    ("added", "name"),
    [
        ("SET |= {2}\n", "uses_set"),
        ("SET = SET | {2}\n", "uses_set"),
        ('TABLE |= {"b": 2}\n', "uses_table"),
        ('TABLE["b"] = 2\n', "uses_table"),
    ],
)
def test_a_statement_that_changes_a_definition_is_part_of_it(package, added, name):
    before = version(package, name)
    (package / "main.py").write_text(SOURCE + added)
    changed = version(package, name)
    assert changed != before
    (package / "main.py").write_text((SOURCE + added).replace("{1}", "{3}").replace('"a"', '"c"'))
    assert version(package, name) != changed  # and the first statement still is
    assert ("other" in before) == ("other" in changed) == (name == "uses_table")


def test_of_a_module_its_present_source_alone_is_kept(package):
    for k in range(3):
        (package / "other.py").write_text(f"def helped():\n    return {k}\n")
        version(package, "uses_table")
    kept = json.loads((package / "kept.json").read_text())
    assert sorted(kept) == ["package.main", "package.other"]
    (package / "other.py").unlink()
    (package / "main.py").write_text("def uses_table():\n    return 1\n")
    version(package, "uses_table")
    assert sorted(json.loads((package / "kept.json").read_text())) == ["package.main"]


def test_the_key_of_an_added_entry_counts_and_is_no_definition(package):
    (package / "main.py").write_text(SOURCE + 'TABLE["b"] = 2\nTABLE[SET] = helped\n')
    before, of_set = version(package, "uses_table"), version(package, "uses_set")
    (package / "main.py").write_text(SOURCE + 'TABLE["c"] = 2\nTABLE[SET] = helped\n')
    assert version(package, "uses_table") != before
    assert version(package, "uses_set") == of_set and "other" not in of_set
