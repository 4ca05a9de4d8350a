"""The search's choice: each arm's own settings, then those that all share, by validation accuracy."""

from __future__ import annotations

import json

import pandas as pd

KEYS = ["task", "arm", "changes"]
MEASURES = ["full_accuracy", "circuit_accuracy", "balanced_accuracy", "ce", "cka"]
CRITERION = "full_accuracy"


def summarise(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each task, arm and trial: means over students, and `chosen` where the criterion is highest.

    `trials` are rows of `trials.run_trial` with task and student. The first trial in the declared order wins
    a tie. ValueError if an arm had more trials than another, or a student missed one: budgets must be equal.
    """
    check_budgets(trials)
    return _best(trials, KEYS)


def summarise_shared(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each task and shared setting: means over arms and students; `chosen` as in `summarise`."""
    check_budgets(trials)
    return _best(trials, [key for key in KEYS if key != "arm"])


def _best(trials: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    grouped = trials.groupby(keys, sort=False)
    summary = grouped[MEASURES].mean().reset_index()
    summary["trainings"] = grouped.size().to_numpy()
    best = summary.groupby([key for key in keys if key != "changes"], sort=False)[CRITERION].idxmax()
    summary["chosen"] = summary.index.isin(best)
    return summary


def chosen_changes(rows: pd.DataFrame) -> dict[str, float]:
    """The changes that were chosen among the rows of one task, and of one arm where each has its own."""
    return json.loads(rows.loc[rows["chosen"], "changes"].item())


def chosen_block(shared: pd.DataFrame, arms: pd.DataFrame) -> dict[str, dict]:
    """What the search chose, as the block `chosen.FAMILY` of the parameters, from both summaries."""
    block: dict[str, dict] = {
        str(task): {"shared": chosen_changes(rows), "arms": {}} for task, rows in shared.groupby("task")
    }
    for row in arms[arms["chosen"]].to_dict("records"):
        block[row["task"]]["arms"][row["arm"]] = json.loads(row["changes"])
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
