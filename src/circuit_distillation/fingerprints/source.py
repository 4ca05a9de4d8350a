"""What the definitions of a module say and which others they name, read from its source without importing it.

A definition is a function, class or assignment at the top of a module. Its digest is over its syntax tree:
comments, docstrings, annotations and layout do not count. A table of the form `{"name": ...}` counts entry
by entry, as definitions `TABLE[name]`. Statements that change what an earlier one defined (`X |= ...`,
`X[...] = ...`) are part of the definition; calls at the top of a module (`X.add(...)`) are not.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from typing import Any

FACTS_VERSION = 2  # of what `read_module` returns: part of the key under which it is kept
_SKIPPED = {"annotation", "returns", "type_comment", "type_params", "kind", "ctx"}
_FILE = re.compile(r"[\w./-]+\.(j2|csv|json|css|js)")
Facts = dict[str, Any]


def read_module(source: str, package: str) -> Facts:
    """`imports` (local name -> dotted target) and `definitions` (name -> [digest, names it uses]).

    `package` is what relative imports start from. A used name may be dotted; `file:NAME` is a file that the
    definition names.
    """
    tree = ast.parse(source)
    imports: dict[str, str] = {}
    definitions: dict[str, list[Any]] = {}
    for statement in _statements(tree.body):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            imports |= _imported(statement, package)
        else:
            for name, node in _defined(statement):
                facts = _facts(node, package)
                definitions[name] = _both(definitions[name], facts) if name in definitions else facts
    own = package.partition(".")[0]
    imports = {name: target for name, target in imports.items() if target.partition(".")[0] == own}
    known = {*definitions, *imports, own}
    for facts in definitions.values():
        facts[1] = [use for use in facts[1] if use.startswith("file:") or use.partition(".")[0] in known]
    return {"imports": imports, "definitions": definitions}


def _both(facts: list[Any], more: list[Any]) -> list[Any]:
    """Of a definition that a later statement changes."""
    digest = hashlib.sha256(f"{facts[0]}{more[0]}".encode()).hexdigest()[:16]
    return [digest, sorted({*facts[1], *more[1]})]


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Of the top level, those under `if` and `try` included."""
    for statement in body:
        if isinstance(statement, ast.If | ast.Try):
            yield from _statements([*statement.body, *statement.orelse])
        else:
            yield statement


def _imported(statement: ast.Import | ast.ImportFrom, package: str) -> dict[str, str]:
    if isinstance(statement, ast.Import):
        return {name.asname: name.name for name in statement.names if name.asname}
    parents = package.split(".")[: len(package.split(".")) - statement.level + 1] if statement.level else []
    base = ".".join([*parents, *([statement.module] if statement.module else [])])
    return {name.asname or name.name: f"{base}.{name.name}" for name in statement.names}


def _defined(statement: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name, statement
    elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
        for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
            if isinstance(target, ast.Subscript | ast.Attribute):
                yield from ((name, statement) for name in _changed(target))
                continue
            for name in (node.id for node in ast.walk(target) if isinstance(node, ast.Name)):
                yield from _entries(name, statement.value)
    elif isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id, statement


def _changed(target: ast.expr) -> Iterator[str]:
    """The name whose definition `X[...] = ...` or `X.a = ...` changes."""
    while isinstance(target, ast.Subscript | ast.Attribute):
        target = target.value
    if isinstance(target, ast.Name):
        yield target.id


def _entries(name: str, value: ast.expr) -> Iterator[tuple[str, ast.AST]]:
    """The value, or for a table with constant names its entries."""
    entries = list(zip(value.keys, value.values)) if isinstance(value, ast.Dict) else []
    keys = [getattr(key, "value", None) for key, _ in entries]
    if not keys or not all(isinstance(key, str) for key in keys):
        yield name, value
        return
    yield name, ast.Constant(value="a table")
    for key, (_, entry) in zip(keys, entries, strict=True):
        yield f"{name}[{key}]", entry


def _facts(node: ast.AST, package: str) -> list[Any]:
    words: list[str] = []
    uses: set[str] = set()
    local: dict[str, str] = {}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import | ast.ImportFrom):
            local |= _imported(inner, package)
    _walk(node, words, uses)
    uses |= set(local)
    named = sorted(_dealiased(use, local) for use in uses)
    return [hashlib.sha256(" ".join(words).encode()).hexdigest()[:16], named]


def _dealiased(use: str, local: dict[str, str]) -> str:
    first, dot, rest = use.partition(".")
    return f"{local[first]}{dot}{rest}" if first in local else use


def _walk(value: Any, words: list[str], uses: set[str]) -> None:
    """Append a text of the tree that is the same in every version of Python; collect the names it loads."""
    if isinstance(value, list):
        for item in value:
            _walk(item, words, uses)
        words.append(";")
    elif isinstance(value, ast.AST):
        words.append(type(value).__name__)
        if isinstance(value, ast.Name | ast.Attribute) and (dotted := _dotted(value)):
            uses.add(dotted)
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and _FILE.fullmatch(value.value):
            uses.add(f"file:{value.value}")
        for field, inner in ast.iter_fields(value):
            if field not in _SKIPPED and inner not in (None, []):
                _walk(_without_docstring(inner) if field == "body" else inner, words, uses)
    else:
        words.append(repr(value))


def _without_docstring(body: Any) -> Any:
    if isinstance(body, list) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        return body[1:]
    return body


def _dotted(node: ast.expr) -> str | None:
    """`a.b.c` of names and attributes; None for attributes of anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None
