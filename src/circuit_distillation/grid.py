"""Roles, students and the cells of a run: the names that pipelines, folders and tables share.

Kedro builds its pipelines from code, so the grid is code; `select` narrows it to the task of the run
(the "GOAT-style" students of Table 3 exist for entity tracking alone) and adds the arms asked for.
"""

from __future__ import annotations

from circuit_distillation.arms import ARMS, Arm
from circuit_distillation.ranges import OfRoles
from circuit_distillation.training.rows import ACTING

ROLES = tuple(OfRoles.model_fields)  # all that a family can have, in the order of tables
TEACHER = "large"
KINDS = ("base", "tuned")
INSTRUCT = "instruct"

_selected: dict = {
    "task": "entity",
    "students": ("small", "medium"),
    "extra": (),
    "loaded": False,
    "instruct": False,
    "acting": False,
    "student": "",
}


def select(
    task: str,
    extra_arms: tuple[str, ...] = (),
    loaded: bool = False,
    instruct: bool = False,
    acting: bool = False,
    students: tuple[str, ...] = ("small", "medium"),
    student: str = "",
) -> bool:
    """Choose the task, the arms beyond the paper, and the family: its students, whether its base models are
    loaded rather than trained here, and whether it has instruction-tuned ones; whether every arm that aligns
    does so where heads act; and the `student` that the pipelines of one student are about, such as
    small.circuit_ce.

    Returns whether that changed the grid.
    """
    wanted = {"task": task, "extra": tuple(extra_arms), "loaded": loaded, "instruct": instruct}
    wanted |= {"acting": acting, "students": students, "student": student}
    changed = wanted != _selected
    _selected.update(wanted)
    return changed


def students() -> tuple[str, ...]:
    """Roles of the family's students."""
    return _selected["students"]


def roles() -> tuple[str, ...]:
    """All roles of the family; the teacher is the last."""
    return (*students(), TEACHER)


def loaded() -> bool:
    """Whether the family's base models come from the hub or from folders."""
    return _selected["loaded"]


def instruct() -> bool:
    """Whether instruction-tuned models are measured: Table 4 has them, Table 3 does not."""
    return _selected["instruct"] and _selected["task"] == "tom"


def student() -> tuple[str, str]:
    """The student that was asked for, or the first one, and its arm; empty if none was named."""
    role, _, arm = _selected["student"].partition(".")
    return role or students()[0], arm


def arms() -> tuple[str, ...]:
    """Arms of the selected task, in the order of the tables."""
    of_task = [name for name, arm in ARMS.items() if arm.tasks is None or _selected["task"] in arm.tasks]
    default = [name for name in of_task if ARMS[name].group != "extra"]
    return (*default, *(name for name in _selected["extra"] if name in of_task))


def acting_arms() -> tuple[str, ...]:
    """Arms that need to know where heads act."""

    def acts(arm: Arm) -> bool:
        return arm.pairs != "none" and arm.data == "task" and arm.own.get("rows", rows) == ACTING

    rows = ACTING if _selected["acting"] else ""
    return tuple(name for name in arms() if acts(ARMS[name]))


def cells() -> list[tuple[str, str]]:
    """Every trained (student, arm)."""
    return [(role, arm) for role in students() for arm in arms()]


def references() -> list[tuple[str, str]]:
    """Every (role, kind) that no arm trains: base and tuned models, instruction-tuned ones, and the teacher
    on its corpus alone.

    Loaded models are tuned on the corpus alone anyway, as in the paper.
    """
    kinds = (*KINDS, INSTRUCT) if instruct() else KINDS
    of_all = [(role, kind) for role in roles() for kind in kinds]
    return of_all if loaded() else [*of_all, (TEACHER, "tuned_corpus")]


def searched() -> list[tuple[str, str]]:
    """Every (role, kind) whose circuit is discovered."""
    found = [(role, kind) for role in roles() for kind in KINDS]
    return [*found, (TEACHER, INSTRUCT)] if instruct() else found


def measured() -> list[tuple[str, str]]:
    """Every (role, arm) with predictions."""
    return references() + cells()
