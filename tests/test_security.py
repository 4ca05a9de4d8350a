"""Nothing that could run what is stored: the source is read for it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "scripts", "benchmarks")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
CALLS = {"torch.load", "torch.save", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "pd.read_pickle"}
CALLS |= {"eval", "exec", "os.system", "os.popen", "np.load", "numpy.load"}


def faults(tree: ast.AST) -> Iterator[str]:
    """What must not be in a module, in a few words each."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (f"imports {name}" for name in names if name.split(".")[0] in MODULES)
        if isinstance(node, ast.Call):
            if ast.unparse(node.func) in CALLS:
                yield f"calls {ast.unparse(node.func)}"
            yield from (f"passes {word.arg}" for word in node.keywords if _lets_in(word))


def _lets_in(word: ast.keyword) -> bool:
    value = getattr(word.value, "value", None)
    return (word.arg, value) in [("shell", True), ("weights_only", False)] or word.arg == "trust_remote_code"


@pytest.mark.parametrize(
    "line",
    ["import pickle", "from joblib import load", "torch.load(p)", "yaml.load(t)", "f(trust_remote_code=True)"]
    + ["f(trust_remote_code=x)", "run(c, shell=True)", "eval(t)", "torch.load(p, weights_only=False)"],
)
def test_the_reader_sees(line: str) -> None:
    assert list(faults(ast.parse(line)))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_runs_nothing_that_is_stored(path: Path) -> None:
    assert not list(faults(ast.parse(path.read_text())))


def test_the_lock_file_pins_every_dependency_by_name_and_version_alone() -> None:
    lines = (ROOT / "requirements.lock").read_text().split("\n")
    found = (re.fullmatch(r"([\w.-]+)==[\w.+!]+", line) for line in lines)
    pins = {match[1].lower().replace("_", "-") for match in found if match}
    assert len(pins) == len([line for line in lines if line])  # no address of an index, no path
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    pinned = (extras[name] for name in ("pipeline", "test", "cluster", "docs"))
    needed = [*project["dependencies"], *(entry for extra in pinned for entry in extra)]
    names = {re.match(r"[\w-]+", entry)[0].lower() for entry in needed} - {project["name"]}
    assert names - pins <= {"torch"}  # whose build depends on the machine: scripts/setup.sh names the version
    assert re.search(r"^torch_version=\d", (ROOT / "scripts/setup.sh").read_text(), re.MULTILINE)
