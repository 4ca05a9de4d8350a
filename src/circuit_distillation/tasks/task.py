"""The interface of a task, and the table of tasks by name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, get_type_hints

from pydantic import create_model

from circuit_distillation.ranges import Strict

from .entity_tracking import EntityTracking
from .example import Content, Example
from .moved_object import MovedObject
from .theory_of_mind import TheoryOfMind


class Task(Protocol):
    """A source of questions in groups (scenes, stories), each with a corrupted counterpart for patching."""

    name: str
    title: str  # in tables and figures
    prompts_a_group: int

    def generate(self, n_groups: int, seed: int | str, taken: Iterable[Content] = ()) -> list[Example]:
        """All questions of `n_groups` scenes or stories; no content twice, and none that is in `taken`."""

    def corrupt(self, examples: Sequence[Example], seed: int | str) -> list[Example]:
        """Counterparts, one for one, in the same token layout."""

    def content(self, example: Example) -> Content:
        """The statements of the example's scene or story in sorted order: equal means the same content."""

    def words(self) -> list[str]:
        """Words that a fixed layout needs as one token each; the option `exclude_words` leaves some out."""

    def vocabulary(self) -> list[str]:
        """Every word and sign that prompts and answers can hold."""


TASKS: dict[str, Any] = {"entity": EntityTracking, "tom": TheoryOfMind, "sally": MovedObject}


def options_of(name: str) -> type[Strict]:
    """The options of a task as settings: the arguments of its class with types, ranges and defaults."""
    hints = get_type_hints(TASKS[name].__init__, include_extras=True)
    arguments = inspect.signature(TASKS[name]).parameters.values()
    fields: dict[str, Any] = {option.name: (hints[option.name], option.default) for option in arguments}
    return create_model(f"{TASKS[name].__name__}Options", __base__=Strict, __doc__="Options.", **fields)


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean '{close[0]}'?" if close else f" There is: {', '.join(known)}."


def get_task(name: str, **options: Any) -> Task:
    """The task of this name. ValueError for an unknown task or option, naming the nearest right one."""
    if name not in TASKS:
        raise ValueError(f"There is no task '{name}'.{_nearest(str(name), list(TASKS))}")
    known = list(inspect.signature(TASKS[name]).parameters)
    for option in options:
        if option not in known:
            raise ValueError(f"Task '{name}' has no option '{option}'.{_nearest(option, known)}")
    return TASKS[name](**options)
