"""Roles, students and arms: the names that pipelines, folders and tables share.

Kedro builds its pipelines from code, so the grid is code; `select` narrows it to the task of the run
(the "GOAT-style" students of Table 3 exist for entity tracking alone) and adds the arms asked for.
"""

from __future__ import annotations

ROLES = ("small", "medium", "large")
STUDENTS = ("small", "medium")
TEACHER = "large"
KINDS = ("base", "tuned")
PAPER_ARMS = ("full_ce", "circuit_ce", "circuit_align_cka", "circuit_ce_rand_cka", "circuit_ce_align_cka")
CORPUS_ARMS = (
    "goat_circuit_ce",
    "goat_circuit_align_cka",
    "goat_circuit_ce_rand_cka",
    "goat_circuit_ce_align_cka",
)
EXTRA_ARMS = ("full_kl", "layer_cka", "random_heads_ce_align_cka")

_selected: dict = {"task": "entity", "extra": ()}


def select(task: str, extra_arms: tuple[str, ...] = ()) -> bool:
    """Choose the task and the arms beyond the paper; returns whether that changed the grid."""
    wanted = {"task": task, "extra": tuple(extra_arms)}
    changed = wanted != _selected
    _selected.update(wanted)
    return changed


def arms() -> tuple[str, ...]:
    """Arms of the selected task, in the order of the tables."""
    corpus_arms = CORPUS_ARMS if _selected["task"] == "entity" else ()
    return PAPER_ARMS + corpus_arms + _selected["extra"]


def cells() -> list[tuple[str, str]]:
    """Every trained (student, arm)."""
    return [(role, arm) for role in STUDENTS for arm in arms()]


def references() -> list[tuple[str, str]]:
    """Every (role, kind) that no arm trains: base and tuned models, and the teacher tuned on its corpus alone."""
    return [*((role, kind) for role in ROLES for kind in KINDS), (TEACHER, "tuned_corpus")]


def measured() -> list[tuple[str, str]]:
    """Every (role, arm) with predictions."""
    return references() + cells()
