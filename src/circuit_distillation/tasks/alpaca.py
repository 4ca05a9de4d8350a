"""Alpaca's own data (Taori et al., 2023) from a local `alpaca_data.json`, in its two templates."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .corpus import Instruction

# The newline at the end is ours: with it no tokenizer merges "Response:" with the first word of the response.
WITH_INPUT = """Below is an instruction that describes a task, paired with an input that provides further \
context. \
Write a response that appropriately completes the request.

### Instruction:
{instruction}

### Input:
{input}

### Response:
"""
WITHOUT_INPUT = """Below is an instruction that describes a task. \
Write a response that appropriately completes the request.

### Instruction:
{instruction}

### Response:
"""
_NO_INPUT = {"", "no input", "noinput", "<noinput>", "<no input>", "n/a", "none"}


@dataclass(frozen=True)
class Alpaca:
    """The usable rows, and how many were left out because their output is empty."""

    instructions: list[Instruction]
    n_empty: int


def load(path: str | Path) -> Alpaca:
    """Read a list of objects with instruction, input and output.

    Fillers such as "No input" count as none. ValueError if the file is missing or has another form.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"There is no file {path}: give the path of an alpaca_data.json.")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from error
    if not isinstance(rows, list):
        raise ValueError(f"{path} must hold a list of objects with instruction, input and output.")
    instructions = [_instruction(row, number, path) for number, row in enumerate(rows)]
    kept = [instruction for instruction in instructions if instruction.response]
    return Alpaca(kept, len(rows) - len(kept))


def _instruction(row: object, number: int, path: Path) -> Instruction:
    if not isinstance(row, dict) or not all(
        isinstance(row.get(key), str) for key in ("instruction", "output")
    ):
        raise ValueError(f"Row {number} of {path} lacks a text under instruction or output.")
    context = str(row.get("input") or "").strip()
    plain = context.lower().rstrip(".") in _NO_INPUT
    prompt = (WITHOUT_INPUT if plain else WITH_INPUT).format(
        instruction=row["instruction"].strip(), input=context
    )
    return Instruction("no_input" if plain else "with_input", prompt, row["output"].strip(), prompt)
