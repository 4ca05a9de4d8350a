"""The code version of a node: a digest of all code of this package that its function uses.

In the function's own module only the definitions that it reaches count. Modules of this package that these
import count as a whole, and so do the modules that those import. Comments, docstrings, annotations of
functions, layout and other packages do not count.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib.util import resolve_name
from pathlib import Path

PACKAGE = __name__.partition(".")[0]
ROOT = Path(__file__).parents[1]


def code_version(function: Callable) -> dict[str, str]:
    """Module (without the package's name) -> digest; empty for functions of other packages."""
    return _version(ROOT, function.__module__, function.__qualname__.partition(".")[0])


@lru_cache(maxsize=1024)
def _version(root: Path, module: str, name: str) -> dict[str, str]:
    path = _path(root, module)
    if path is None:
        return {}
    reached = _reached(_tree(path), name)
    text = "\n".join(map(ast.unparse, reached))
    versions = {module: _digest(text.encode())}
    waiting = set(_imported(root, module, reached))
    while waiting:
        other = waiting.pop()
        if other not in versions:
            versions[other], imports = _whole(root, other)
            waiting |= imports
    return {name.partition(".")[2]: version for name, version in sorted(versions.items())}


@lru_cache(maxsize=1024)
def _whole(root: Path, module: str) -> tuple[str, frozenset[str]]:
    """The digest of a module, with that of the files beside it that it names, and the modules it imports."""
    path = _path(root, module)
    assert path is not None, f"{module} is imported, so it is there"
    text = ast.unparse(_tree(path))
    files = (file for file in path.parent.iterdir() if file.suffix not in ("", ".py"))
    beside = sorted(file for file in files if file.name in text)
    digest = _digest(b"".join([text.encode(), *(file.read_bytes() for file in beside)]))
    return digest, frozenset(_imported(root, module, _tree(path).body))


@lru_cache(maxsize=1024)
def _tree(path: Path) -> ast.Module:
    """The source without what does not count."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [statement for statement in body if not _is_void(statement)]
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    return tree


def _is_void(statement: ast.stmt) -> bool:
    """Whether a statement does nothing when it runs: a text that stands alone, imports for types."""
    if isinstance(statement, ast.If):
        return isinstance(statement.test, ast.Name) and statement.test.id == "TYPE_CHECKING"
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _reached(tree: ast.Module, name: str) -> list[ast.stmt]:
    """The statements of a module that bind a name which `name` needs, itself included."""
    needed, reached = {name}, []
    left = list(tree.body)
    while found := [statement for statement in left if needed & set(_bound(statement))]:
        left = [statement for statement in left if statement not in found]
        reached += found
        for statement in found:
            needed |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    return sorted(reached, key=lambda statement: statement.lineno)


def _bound(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in statement.names)
    elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    else:
        targets = getattr(statement, "targets", [getattr(statement, "target", statement)])
        names = (node for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
        yield from (node.id for node in names)


def _imported(root: Path, module: str, statements: Iterable[ast.stmt]) -> Iterator[str]:
    """The modules of this package that the statements import, at the top or in functions."""
    path = _path(root, module)
    package = module if path and path.name == "__init__.py" else module.rpartition(".")[0]
    for node in (node for statement in statements for node in ast.walk(statement)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _path(root, alias.name))
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name(f"{'.' * node.level}{node.module or ''}", package)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield from [whole] if _path(root, whole) else [base] if _path(root, base) else []


@lru_cache(maxsize=4096)
def _path(root: Path, module: str) -> Path | None:
    if module.partition(".")[0] != PACKAGE:
        return None
    place = root.joinpath(*module.split(".")[1:])
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
