"""One question with its answer, its candidate answers and the places of its parts in the text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

Piece = str | tuple[str, str]  # plain text, or (role, text)
Content = tuple[str, ...]  # what a scene or story states, sorted: equal for two tellings of the same


@dataclass(frozen=True)
class Example:
    """A prompt that ends where the answer, one word after a space, begins.

    `spans` maps a role to its `[start, end)` characters in `prompt`; a tokenizer turns them into positions.
    Examples with the same `group_id` ask about one scene or story. `cell` is the condition inside a template
    over which accuracy is balanced.
    """

    example_id: str
    group_id: str
    task: str
    template: str
    cell: str
    prompt: str
    answer: str
    candidates: tuple[str, ...]
    spans: dict[str, tuple[int, int]]

    def text(self, role: str) -> str:
        """The words that play `role`."""
        start, end = self.spans[role]
        return self.prompt[start:end]


def lay_out(pieces: Iterable[Piece], offset: int = 0) -> tuple[str, dict[str, tuple[int, int]]]:
    """Join pieces to a text; the spans of the pieces that carry a role start counting at `offset`."""
    texts, spans, at = [], {}, offset
    for piece in pieces:
        text = piece if isinstance(piece, str) else piece[1]
        if not isinstance(piece, str):
            spans[piece[0]] = (at, at + len(text))
        texts.append(text)
        at += len(text)
    return "".join(texts), spans


def to_frame(examples: Sequence[Example]) -> pd.DataFrame:
    """One row an example; candidates as a list column, spans as JSON, so that Parquet can hold it."""
    import pandas as pd

    rows = [
        vars(example) | {"candidates": list(example.candidates), "spans": json.dumps(example.spans)}
        for example in examples
    ]
    return pd.DataFrame(rows, columns=[field.name for field in fields(Example)])


def from_frame(frame: pd.DataFrame) -> list[Example]:
    """The inverse of `to_frame`. ValueError names the columns that are missing."""
    names = [field.name for field in fields(Example)]
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise ValueError(f"These are not stored examples: column {', '.join(missing)} is missing.")
    examples = []
    for row in frame[names].to_dict("records"):
        row["candidates"] = tuple(row["candidates"])
        row["spans"] = {role: (start, end) for role, (start, end) in json.loads(row["spans"]).items()}
        examples.append(Example(**row))
    return examples
