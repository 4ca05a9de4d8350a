"""Blocks that have an entry for each task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Optional

from circuit_distillation.ranges import Block, OneOf, with_fields
from circuit_distillation.tasks.task import TASKS

OF_THE_PAPER = ("entity", "tom")
TaskName = Annotated[str, OneOf(TASKS)]


def by_task(*, others: Any = None, **kinds: Any) -> Callable[[type[Block]], type[Block]]:
    """Gives a block an entry under the name of each task, of the kind given for it or else of `others`.

    Tasks that the paper does not have may lack an entry; they cannot be run then.
    """
    entries: dict[str, Any] = {}
    for task in TASKS:
        kind = kinds.get(task, others)
        entries[task] = (kind, ...) if task in OF_THE_PAPER else (Optional[kind], None)  # noqa: UP045
    return with_fields(entries)
