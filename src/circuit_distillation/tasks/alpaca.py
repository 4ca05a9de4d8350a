"""Alpaca's own data (Taori et al., 2023) from a local file, in its two templates."""

from __future__ import annotations

from pathlib import Path

from .corpus import Instruction
from .rows import read_rows

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


def load(path: str | Path) -> list[Instruction]:
    """Read rows with instruction, input and output: `alpaca_data.json`, or the hub's Parquet file.

    Fillers such as "No input" count as none; rows without an output are left out. ValueError if the file is
    missing or has another form.
    """
    instructions = [_instruction(row) for row in read_rows(path, ("instruction", "output"))]
    return [instruction for instruction in instructions if instruction.response]


def _instruction(row: dict[str, str]) -> Instruction:
    context = str(row.get("input") or "").strip()
    plain = context.lower().rstrip(".") in _NO_INPUT
    prompt = (WITHOUT_INPUT if plain else WITH_INPUT).format(
        instruction=row["instruction"].strip(), input=context
    )
    return Instruction("no_input" if plain else "with_input", prompt, row["output"].strip(), prompt)
