"""Update the tables of docs/replication.md and docs/findings.md, which stand between markers in written text.

python -m circuit_distillation.study.document TABLES.md DOCUMENT.md
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from circuit_distillation.study.tables import markdown

BLOCK = re.compile(r"<!-- table: (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def render_tables(family: str, tables: Mapping[str, pd.DataFrame]) -> str:
    """Every table in Markdown, each between its markers."""
    blocks = [
        f"<!-- table: {name} -->\n\n{markdown(table)}\n\n<!-- end -->" for name, table in tables.items()
    ]
    return "\n\n".join([f"# Tables of the study: the {family} family", *blocks]) + "\n"


def refresh(document: str, rendered: str) -> str:
    """The document with each marked table replaced by the one of that name; its prose stays as it is."""
    blocks = {match[1]: match[0] for match in BLOCK.finditer(rendered)}
    missing = {match[1] for match in BLOCK.finditer(document)} - set(blocks)
    if missing:
        raise ValueError(
            f"the study has no table {', '.join(sorted(missing))}: correct the marker, or run the search and "
            f"the sweeps first; there are {', '.join(blocks)}"
        )
    return BLOCK.sub(lambda match: blocks[match[1]], document)


if __name__ == "__main__":
    source, document = map(Path, sys.argv[1:])
    document.write_text(refresh(document.read_text(), source.read_text()))
