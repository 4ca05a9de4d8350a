"""Numbers and tables as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """A table of texts; headings are the keys of the first row. Empty without rows."""
    if not rows:
        return ""
    headings = list(rows[0])
    lines = ["| " + " | ".join(headings) + " |", "|" + ":---|" * len(headings)]
    lines += ["| " + " | ".join(row[name].replace("|", "\\|") for name in headings) + " |" for row in rows]
    return "\n".join(lines)


def number(value: float | None, decimals: int = 3) -> str:
    """A number, or nothing where there is none; the word for what no number reaches."""
    if value is not None and value == float("inf"):
        return "nothing"
    return "" if value is None or pd.isna(value) else f"{value:.{decimals}f}".replace("-", "−")


def signed(value: float | None, decimals: int = 3) -> str:
    """A number with its sign."""
    return "" if value is None or pd.isna(value) else f"{value:+.{decimals}f}".replace("-", "−")


def interval(low: float | None, high: float | None) -> str:
    """The ends of an interval."""
    return "" if low is None or pd.isna(low) else f"{signed(low)} to {signed(high)}"
