"""Drawing without repetition from a space that is too large to list."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .example import Content

T = TypeVar("T")


def draw_fresh(draw: Callable[[], T], content: Callable[[T], Content], used: set[Content]) -> T:
    """The next draw whose content is not in `used`, which it then joins.

    Gives up with a ValueError after 1000 + 10 x len(used) draws in a row: if as little as one content is
    free, the chance to have missed it is then e^-10.
    """
    for _ in range(1000 + 10 * len(used)):
        drawn = draw()
        key = content(drawn)
        if key not in used:
            used.add(key)
            return drawn
    raise ValueError(
        f"Nothing is left beside the {len(used)} scenes or stories already drawn: ask for fewer."
    )
