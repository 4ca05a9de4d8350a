"""Rows of a data file in the forms of the hub: a JSON list, JSON lines or Parquet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read_rows(path: str | Path, needed: Sequence[str]) -> list[dict[str, Any]]:
    """Rows, each with a text under the `needed` keys (it may be empty).

    ValueError, naming the file and the number of the row, if it is missing or broken.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}: give the path of a data file (.json, .jsonl, .parquet)")
    rows = _parquet(path) if path.suffix == ".parquet" else _json(path)
    if not rows:
        raise ValueError(f"{path} holds no rows")
    for number, row in enumerate(rows):
        missing = [key for key in needed if not isinstance(row, dict) or not isinstance(row.get(key), str)]
        if missing:
            raise ValueError(f"row {number} of {path} lacks a text under {' and '.join(missing)}")
    return rows


def _parquet(path: Path) -> list[dict[str, Any]]:
    import pandas as pd
    from pyarrow import ArrowException

    try:
        return pd.read_parquet(path).to_dict("records")
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path} is no Parquet file, or half of one: {str(error).splitlines()[0]}") from None


def _json(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    if text.lstrip().startswith("["):
        return _parsed(text, f"{path}")
    lines = [line for line in text.splitlines() if line.strip()]
    return [_parsed(line, f"row {number} of {path}") for number, line in enumerate(lines)]


def _parsed(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{name} is not JSON: {error}") from None
