"""The code version of a function, in a package of a few modules."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuit_distillation.fingerprints import code

NODES = """
from circuit_distillation.library import helped

SET = {1}
TABLE = {"a": helped}


def uses_set():
    return SET


def uses_table():
    return TABLE


def uses_more():
    from circuit_distillation.rooms import More
    return More
"""
LIBRARY = """
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from circuit_distillation.types import Kind


def helped(kind: Kind) -> int:
    from .rooms.inner import VALUE
    return VALUE
"""
FILES = {
    "nodes.py": NODES,
    "library.py": LIBRARY,
    "types.py": "Kind = int",
    "rooms/__init__.py": "from .inner import VALUE as More",
    "rooms/inner.py": "VALUE = open('page.j2')",
    "rooms/page.j2": "<p>",
    "rooms/other.csv": "1",
}


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """With the files above."""
    (tmp_path / "rooms").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    return tmp_path


def version(name: str) -> dict[str, str]:
    """Of a function of the module `nodes`, as a process that starts now finds it."""
    for cached in (code._version, code._whole, code._tree, code._path):
        cached.cache_clear()

    def function() -> None: ...

    function.__module__, function.__qualname__ = "circuit_distillation.nodes", name
    return code.code_version(function)


@pytest.mark.usefixtures("package")
def test_modules_are_followed_wherever_they_are_imported_but_for_types():
    assert set(version("uses_set")) == {"nodes"}
    assert set(version("uses_table")) == {"nodes", "library", "rooms.inner"}
    assert set(version("uses_more")) == {"nodes", "rooms", "rooms.inner"}


@pytest.mark.parametrize(
    ("file", "old", "new", "concerned"),
    [
        ("nodes.py", "SET = {1}", "SET = {1, 2}", {"uses_set"}),
        ("nodes.py", "SET = {1}", "SET = {1}\nSET |= {2}", {"uses_set"}),
        ("nodes.py", "SET = {1}", "SET = {1}\nSET[0] = {2}", {"uses_set"}),
        ("nodes.py", '{"a": helped}', '{"a": helped, "b": 2}', {"uses_table"}),
        ("nodes.py", "return More", "return 2", {"uses_more"}),
        ("library.py", "return VALUE", "return 2 * VALUE", {"uses_table"}),
        ("rooms/inner.py", "VALUE", "OTHER = 1\nVALUE", {"uses_table", "uses_more"}),
        ("rooms/page.j2", "<p>", "<i>", {"uses_table", "uses_more"}),
        ("rooms/other.csv", "1", "2", set()),
        ("types.py", "int", "float", set()),
        ("library.py", "return VALUE", "'''Words.'''  # and more\n    return (VALUE)", set()),
        ("library.py", "kind: Kind) -> int", "kind: float) -> float", set()),
    ],
)
def test_a_change_concerns_what_uses_it(package, file, old, new, concerned):
    names = ("uses_set", "uses_table", "uses_more")
    before = {name: version(name) for name in names}
    text = (package / file).read_text()
    assert old in text
    (package / file).write_text(text.replace(old, new))
    assert {name for name in names if before[name] != version(name)} == concerned


def test_a_function_of_another_package_has_no_version():
    assert code.code_version(Path.exists) == {}
