"""The search's choice: each arm's own settings, then those that all share, by validation accuracy."""

from __future__ import annotations

import json

import pandas as pd

from circuit_distillation.arms import ONE_RATE_ARMS

KEYS = ["task", "arm", "changes"]
MEASURES = ["full_accuracy", "circuit_accuracy", "balanced_accuracy", "ce", "similarity"]
CRITERION = "full_accuracy"
RATE = "learning_rate_heads"


def summarise(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each task, arm and trial: means over students, and `chosen` where the criterion is highest.

    The arms of ONE_RATE_ARMS get one learning rate: of the rates that all of them tried the one at which the
    mean of their best trials is highest. `trials` are rows of `trials.run_trial` with task and student. The
    first trial in the declared order wins a tie. ValueError if an arm had more trials than another, or a
    student missed one: budgets must be equal.
    """
    check_budgets(trials)
    summary = _means(trials, KEYS)
    candidates = summary.groupby("task", sort=False, group_keys=False)[list(summary)].apply(_at_one_rate)
    return _choose(summary, candidates, ["task", "arm"])


def _at_one_rate(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of a task without those of ONE_RATE_ARMS at other rates than theirs; the lower wins a tie."""
    own = summary[summary["arm"].isin(ONE_RATE_ARMS)]
    # a trial that names no rate has that of the parameters, here 0
    rates = own["changes"].map(lambda changes: json.loads(changes).get(RATE, 0.0))
    best = own.groupby([rates, "arm"])[CRITERION].max().unstack("arm").dropna().mean(axis=1)
    return summary.drop(own.index[rates != best.idxmax()]) if len(best) else summary


def summarise_shared(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each task and shared setting: means over arms and students; `chosen` as in `summarise`."""
    check_budgets(trials)
    summary = _means(trials, ["task", "changes"])
    return _choose(summary, summary, ["task"])


def _means(trials: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    grouped = trials.groupby(keys, sort=False)
    return grouped[MEASURES].mean().reset_index().assign(trainings=grouped.size().to_numpy())


def _choose(summary: pd.DataFrame, candidates: pd.DataFrame, within: list[str]) -> pd.DataFrame:
    best = candidates.groupby(within, sort=False)[CRITERION].idxmax()
    return summary.assign(chosen=summary.index.isin(best))


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
