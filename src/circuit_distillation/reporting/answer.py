"""The answer in plain words: does CE + Align CKA beat its rivals here, by how much, is it significant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from circuit_distillation.arms import PROPOSED, row_name
from circuit_distillation.reporting.tables import paper_rows
from circuit_distillation.tasks.task import TASKS

ALPHA = 0.05
TASK_NAMES = {name: task.title for name, task in TASKS.items()}
# The rivals of the answer: those of the paper's own tests, with the names of the text.
RIVAL_NAMES = {"circuit_ce": "CE alone on the same heads", "full_ce": "CE on all weights"}


def answer_rows(
    significance: pd.DataFrame, labels: Mapping[str, str], experiment: str
) -> list[dict[str, Any]]:
    """A row for each task, student, rival and scope: gain (mean over seeds), interval (one seed), verdict.

    `better` and `worse` count the seeds in which Holm's corrected p is below 0.05 in that direction.
    """
    tests = significance[significance["experiment"] == experiment]
    rows = []
    for (task, student, comparison, scope), group in tests.groupby(
        ["task", "student", "comparison", "scope"], sort=False
    ):
        rival = comparison.removeprefix(f"{PROPOSED} vs ")
        if rival in RIVAL_NAMES:
            rows.append(_row(group, str(task), str(student), rival, str(scope), labels))
    return rows


def headline(rows: list[dict[str, Any]]) -> str:
    """One sentence on the paper's main claim, the full model against CE alone on the same heads."""
    main = [row for row in rows if row["rival"] == "circuit_ce" and row["scope"] == "full"]
    if not main:
        return "No run has both CE + Align CKA and CE alone yet, so there is no answer."
    tests = sum(row["seeds"] for row in main)
    better, worse = (sum(row[key] for row in main) for key in ("better", "worse"))
    if better == tests:
        verdict = "Yes, in every test"
    elif better and not worse:
        verdict = "In part"
    elif worse and not better:
        verdict = "No, it is worse" if worse == tests else "No"
    elif better:
        verdict = "It depends"
    else:
        verdict = "Not shown"
    noun = "test" if tests == 1 else "tests"
    return (
        f"{verdict}: on the full model CE + Align CKA is significantly better than CE alone in {better} of "
        f"{tests} {noun} (one for each task, student and seed), significantly worse in {worse}, and "
        f"neither in {tests - better - worse}."
    )


def _row(
    group: pd.DataFrame, task: str, student: str, rival: str, scope: str, labels: Mapping[str, str]
) -> dict[str, Any]:
    gains = group.loc[group["p_holm"] < ALPHA, "difference"]
    better, worse = int((gains > 0).sum()), int((gains < 0).sum())
    single = group.iloc[0] if len(group) == 1 else None
    of_one = {"low": "difference_low", "high": "difference_high", "p_holm": "p_holm"}
    return {
        "task": TASK_NAMES.get(task, task),
        "student": row_name(task, student, PROPOSED, labels).model,
        "rival": rival,
        "rival_name": RIVAL_NAMES[rival],
        "scope": scope,
        "gain": float(group["difference"].mean()),
        **{name: None if single is None else float(single[column]) for name, column in of_one.items()},
        "seeds": len(group),
        "better": better,
        "worse": worse,
        "paper_gain": _paper_gain(task, student, rival, scope),
        "verdict": _verdict(len(group), better, worse),
    }


def _verdict(seeds: int, better: int, worse: int) -> str:
    if seeds == 1:
        return "better" if better else "worse" if worse else "no significant difference"
    return f"better in {better}, worse in {worse}, undecided in {seeds - better - worse} of {seeds} seeds"


def _paper_gain(task: str, student: str, rival: str, scope: str) -> float | None:
    """The same gain in Tables 1 and 2 of the paper; None for tasks it does not have."""
    column = "full_model" if scope == "full" else "circuit"
    rows = (
        paper_rows().query("task == @task and role == @student and table in (1, 2)").set_index("arm")[column]
    )
    return None if rows.empty else round(float(rows[PROPOSED] - rows[rival]), 2)
