"""The code version of a function: the definitions of this package that it reaches, module by module."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from circuit_distillation.fingerprints.source import FACTS_VERSION, Facts, read_module

PACKAGE = __name__.partition(".")[0]
ROOT = Path(__file__).parents[1]
KEPT = Path(__file__).parent / "__pycache__" / f"definitions-{FACTS_VERSION}.json"
Place = tuple[str, str]  # (module, definition)


def code_version(function: Callable, leave_out: Collection[str] = ()) -> dict[str, str]:
    """Module (without the package's name) -> digest of what the function reaches there.

    Empty for functions of other packages. Entries of tables under the names in `leave_out` do not count, such
    as those of other tasks.
    """
    return _reader().version(function.__module__, function.__qualname__, frozenset(leave_out))


@cache
def _reader() -> CodeReader:
    """One a process: the source is read once."""
    return CodeReader(ROOT, PACKAGE, KEPT)


class CodeReader:
    """Follows names through the modules of one package. What was read of each is kept in a file."""

    def __init__(self, root: Path, package: str, kept: Path | None = None) -> None:
        self._root, self._package, self._kept = root, package, kept
        self._kept_facts = _known(kept) if kept else {}
        self._read_anew = False
        self._modules: dict[str, Facts] = {}
        self._versions: dict[tuple[str, str, frozenset[str]], dict[str, str]] = {}

    def version(self, module: str, name: str, leave_out: frozenset[str] = frozenset()) -> dict[str, str]:
        """Digests by module of all definitions reached from `name` of `module`."""
        key = module, name, leave_out
        if key not in self._versions:
            self._versions[key] = self._version(*key)
            if self._kept and self._read_anew:
                self._keep(self._kept)
        return self._versions[key]

    def _version(self, module: str, name: str, leave_out: frozenset[str]) -> dict[str, str]:
        digests: dict[str, list[str]] = {}
        for place in sorted(self._reached(module, name, leave_out)):
            digests.setdefault(place[0].removeprefix(f"{self._package}."), []).append(self._digest(place))
        return {module: _digest("".join(parts).encode()) for module, parts in digests.items()}

    def _reached(self, module: str, name: str, leave_out: frozenset[str]) -> set[Place]:
        waiting, found = [(module, name)], set()
        while waiting:
            place = waiting.pop()
            if place in found or not self._module(place[0]):
                continue
            found.add(place)
            if not place[1].startswith("file:"):
                waiting += self._neighbours(place, leave_out)
        return found

    def _neighbours(self, place: Place, leave_out: frozenset[str]) -> Iterator[Place]:
        module, name = place
        definitions = self._module(module)["definitions"]
        if name not in definitions:
            return
        for other in definitions:
            if other.startswith(f"{name}[") and other[len(name) + 1 : -1] not in leave_out:
                yield module, other
        for use in definitions[name][1]:
            if target := self._resolved(module, use):
                yield target

    def _resolved(self, module: str, use: str) -> Place | None:
        """Where a used name is defined; None for names of others, and for those of no definition."""
        facts = self._module(module)
        if use.startswith("file:"):
            return (module, use) if _beside(self._path(module), use) else None
        first, _, rest = use.partition(".")
        if first in facts["definitions"]:
            return module, first
        if first in facts["imports"]:
            use = f"{facts['imports'][first]}.{rest}".rstrip(".")
        elif first != self._package:
            return None
        parts = use.split(".")
        for length in range(len(parts) - 1, 0, -1):
            owner = ".".join(parts[:length])
            if parts[0] == self._package and self._module(owner):
                return self._resolved(owner, parts[length])
        return None

    def _digest(self, place: Place) -> str:
        module, name = place
        if name.startswith("file:"):
            return _digest(b"".join(path.read_bytes() for path in _beside(self._path(module), name)))
        return f"{name}{self._module(module)['definitions'].get(name, ['?'])[0]}"

    def _module(self, module: str) -> Facts:
        """Nothing for a module that is not of the package."""
        if module not in self._modules:
            path = self._path(module)
            self._modules[module] = {} if path is None else self._read(module, path)
        return self._modules[module]

    def _read(self, module: str, path: Path) -> Facts:
        source = path.read_bytes()
        known = self._kept_facts.get(module, {})
        if known.get("of") != _digest(source):
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            known = {"of": _digest(source), "facts": read_module(source.decode(), package)}
            self._kept_facts[module], self._read_anew = known, True
        return known["facts"]

    def _keep(self, kept: Path) -> None:
        """For the next process, of modules that exist; a folder that cannot be written costs it a second."""
        facts = {module: known for module, known in self._kept_facts.items() if self._path(module)}
        beside = kept.with_name(f"{kept.name}.{os.getpid()}")
        with suppress(OSError):
            kept.parent.mkdir(exist_ok=True)
            beside.write_text(json.dumps(facts))
            os.replace(beside, kept)
        self._read_anew = False

    def _path(self, module: str) -> Path | None:
        if module != self._package and not module.startswith(f"{self._package}."):
            return None
        place = self._root.joinpath(*module.split(".")[1:])
        found = (path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file())
        return next(found, None)


def _beside(module: Path | None, use: str) -> list[Path]:
    """All files that are not Python in the folder of a module, if one has the name that it uses."""
    if module is None:
        return []
    name = use.removeprefix("file:").rpartition("/")[2]
    files = sorted(path for path in module.parent.rglob("*.*") if path.suffix not in (".py", ".pyc"))
    return files if any(path.name == name for path in files) else []


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _known(kept: Path) -> dict[str, dict[str, Any]]:
    with suppress(OSError, ValueError):
        return json.loads(kept.read_text())
    return {}
