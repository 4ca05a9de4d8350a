"""Attention of one head on one prompt, in several models, as an SVG document: a panel for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

CELL, EDGE, TITLE, GAP, COLUMNS = 6, 44, 18, 12, 4  # units; EDGE holds the tokens
LEAST = 0.003  # weights below it are not drawn


def attention_svg(rows: Mapping[str, NDArray], tokens: Sequence[str], title: str, description: str) -> str:
    """`rows`: name -> attention [query, key]. Written by hand, since a plotting library takes seconds."""
    side = CELL * len(tokens)
    wide, tall = EDGE + side + GAP, TITLE + side + EDGE + GAP
    columns = min(COLUMNS, len(rows))
    width, height = columns * wide, -(-len(rows) // columns) * tall
    panels = "".join(
        f'<g transform="translate({index % columns * wide} {index // columns * tall})">'
        f"{''.join(_panel(name, attention, tokens))}</g>"
        for index, (name, attention) in enumerate(rows.items())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(title)}" font-family="sans-serif" font-size="5">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
        f'<rect width="{width}" height="{height}" fill="#fff"/>{panels}</svg>'
    )


def _panel(name: str, attention: NDArray, tokens: Sequence[str]) -> Iterator[str]:
    side = CELL * len(tokens)
    yield f'<text x="{EDGE}" y="{TITLE - 6}" font-size="11" font-weight="700">{escape(name)}</text>'
    yield f'<rect x="{EDGE}" y="{TITLE}" width="{side}" height="{side}" fill="none" stroke="#cfcfcf"/>'
    for query, key in np.argwhere(attention > LEAST).tolist():
        yield (
            f'<rect x="{EDGE + CELL * key}" y="{TITLE + CELL * query}" width="{CELL}" height="{CELL}" '
            f'fill="#08306b" fill-opacity="{attention[query, key]:.3f}"/>'
        )
    for index, token in enumerate(map(escape, tokens)):
        middle = CELL * (index + 0.75)
        yield f'<text x="{EDGE - 2}" y="{TITLE + middle}" text-anchor="end">{token}</text>'
        at = f"{EDGE + middle} {TITLE + side + 2}"
        yield f'<text text-anchor="end" transform="translate({at}) rotate(-90)">{token}</text>'
