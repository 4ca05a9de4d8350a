"""GOAT's own data (Liu & Low, 2023): a local copy of the file of the hub's data set `tiedong/goat`."""

from __future__ import annotations

import re
from pathlib import Path

from .corpus import Instruction
from .rows import read_rows

_SIGNS = re.compile(r"(\d+)\s*([-+*/x])\s*(\d+)")


def load(path: str | Path) -> list[Instruction]:
    """Rows with instruction, input (the expression) and output; the prompt is that of its authors' training.

    The kind is the operation. ValueError, with the number of the row, for a missing file or a broken row.
    """
    return [
        _instruction(row, number, path)
        for number, row in enumerate(read_rows(path, ("instruction", "output")))
    ]


def _instruction(row: dict, number: int, path: str | Path) -> Instruction:
    expression = str(row.get("input") or row["instruction"]).strip()
    found = _SIGNS.search(str(row["output"])) or _SIGNS.search(expression)
    if found is None:
        raise ValueError(f"row {number} of {path} holds no arithmetic: {expression[:60]!r}")
    first, sign, second = found.groups()
    kind = {"+": "add", "-": "sub", "*": "mul", "x": "mul", "/": "div"}[sign]
    prompt = f"{row['instruction'].strip()}\nAnswer:"
    return Instruction(
        kind, prompt, f" {row['output'].strip()}", f"{first} {'*' if sign == 'x' else sign} {second}"
    )
