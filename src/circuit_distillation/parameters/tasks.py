"""Blocks that have an entry for each task."""

from __future__ import annotations

from typing import Any, Literal, Optional

from pydantic import create_model

from circuit_distillation.ranges import Strict
from circuit_distillation.tasks.task import TASKS

OF_THE_PAPER = ("entity", "tom")
TaskName = Literal[tuple(TASKS)]


def by_task(name: str, doc: str, *, others: Any, **kinds: Any) -> type[Strict]:
    """A block with an entry under the name of each task, of the kind given for it or else of `others`.

    Tasks that the paper does not have may lack an entry; they cannot be run then.
    """
    entries: dict[str, Any] = {}
    for task in TASKS:
        kind = kinds.get(task, others)
        entries[task] = (kind, ...) if task in OF_THE_PAPER else (Optional[kind], None)  # noqa: UP045
    return create_model(name, __base__=Strict, __doc__=doc, __module__=__name__, **entries)
