"""Blocks that have an entry for each task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Optional, TypeVar

from pydantic import create_model

from circuit_distillation.ranges import OneOf, Strict
from circuit_distillation.tasks.task import TASKS

OF_THE_PAPER = ("entity", "tom")
TaskName = Annotated[str, OneOf(TASKS)]
Block = TypeVar("Block", bound=Strict)


def by_task(*, others: Any = None, **kinds: Any) -> Callable[[type[Block]], type[Block]]:
    """Gives a block an entry under the name of each task, of the kind given for it or else of `others`.

    Tasks that the paper does not have may lack an entry; they cannot be run then.
    """
    entries: dict[str, Any] = {}
    for task in TASKS:
        kind = kinds.get(task, others)
        entries[task] = (kind, ...) if task in OF_THE_PAPER else (Optional[kind], None)  # noqa: UP045

    def with_entries(block: type[Block]) -> type[Block]:
        entries["__doc__"] = block.__doc__
        return create_model(block.__name__, __base__=block, __module__=block.__module__, **entries)

    return with_entries
