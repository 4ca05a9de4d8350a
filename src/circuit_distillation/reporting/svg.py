"""Save a matplotlib figure as an SVG document with its own description, for a file or inside a page."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIP = "tip:"  # an artist whose gid starts so becomes a hoverable element that shows the rest of its gid
PASSIVE = "passive"  # the gid of artists that let the mouse through to what lies below them

_PROLOG = re.compile(r"^.*?(?=<svg )", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_TIPPED = re.compile(rf'<g id="{TIP}([^"]*)">')
# Counters such as axes_1 repeat from figure to figure, and nothing refers to them.
_COUNTED = re.compile(r' id="[A-Za-z0-9]+(?:\.[A-Za-z]+)?_\d+"')
_SIZE = re.compile(r'(<svg [^>]*?)width="[^"]*"', re.DOTALL)
_HEIGHT = re.compile(r'(<svg [^>]*?)height="[^"]*"', re.DOTALL)
_ROOT = re.compile(r"<svg ([^>]*)>", re.DOTALL)


def to_svg(figure: Figure, *, name: str, title: str, description: str, data: Mapping[str, str]) -> str:
    """SVG text with text kept as text; the same figure gives the same bytes.

    `name` must be unique in a page (it salts the ids of clip paths and markers), `title` and `description`
    become <title> and <desc>, each entry of `data` an attribute data-… of the root. Metadata that names
    outside addresses is left out.
    """
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = _METADATA.sub("", _PROLOG.sub("", buffer.getvalue()))
    text = _TIPPED.sub(r'<g class="head"><title>\1</title>', text)
    text = text.replace(f'<g id="{PASSIVE}">', '<g style="pointer-events: none">')
    text = _COUNTED.sub("", text)
    # Without fixed width and height the picture follows the width of its place; viewBox keeps its
    # proportions.
    text = _HEIGHT.sub(r"\1", _SIZE.sub(r'\1width="100%"', text, count=1), count=1)
    attributes = "".join(f' data-{key}="{escape(value)}"' for key, value in data.items())
    described = f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
    label = f'role="img" aria-label="{escape(title)}"{attributes}'
    return _ROOT.sub(lambda match: f"<svg {match[1].strip()} {label}>{described}", text, count=1)
