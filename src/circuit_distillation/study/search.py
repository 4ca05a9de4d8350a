"""The search's choice: for each task and arm the trial of the best validation accuracy, students averaged."""

from __future__ import annotations

import json

import pandas as pd

KEYS = ["task", "arm", "changes"]
CRITERION = "full_accuracy"


def summarise(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each task, arm and trial: means over students, and `chosen` where the criterion is highest.

    `trials` are rows of `trials.run_trial` with task and student. The first trial in the declared order wins
    a tie. ValueError if an arm had more trials than another, or a student missed one: budgets must be equal.
    """
    check_budgets(trials)
    measures = ["full_accuracy", "circuit_accuracy", "balanced_accuracy", "ce", "cka"]
    summary = trials.groupby(KEYS, sort=False)[measures].mean().reset_index()
    summary["students"] = trials.groupby(KEYS, sort=False).size().to_numpy()
    best = summary.groupby(["task", "arm"], sort=False)[CRITERION].idxmax()
    summary["chosen"] = summary.index.isin(best)
    return summary


def chosen_block(summary: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """What the search chose, as the block `chosen.FAMILY` of the parameters: task -> arm -> settings."""
    block: dict[str, dict[str, dict[str, float]]] = {}
    for row in summary[summary["chosen"]].to_dict("records"):
        block.setdefault(row["task"], {})[row["arm"]] = json.loads(row["changes"])
    return block


def check_budgets(trials: pd.DataFrame) -> None:
    """ValueError unless every task, arm and student had the same number of different trials."""
    counts = trials.groupby(["task", "arm", "student"])["changes"].agg(["size", "nunique"])
    if counts.to_numpy().min() != counts.to_numpy().max():
        raise ValueError(
            f"some arms had more trials than others, run the missing: {counts['nunique'].to_dict()}"
        )
    if trials.groupby("task")["arm"].nunique().nunique() > 1:
        raise ValueError("the search tried more arms in one task than in another; run the missing")
