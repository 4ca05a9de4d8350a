"""Accuracies of every model: means over the runs of the study, and the spread between runs."""

from __future__ import annotations

import pandas as pd

KEYS = ["task", "model", "arm", "metric"]


def accuracy_table(models: pd.DataFrame) -> pd.DataFrame:
    """One row for each task, role, arm and metric: mean, sd, least and greatest over runs, and their number.

    `models` are rows of `gather.model_table`; a run is a family and, for students, a training seed.
    """
    grouped = models.groupby(KEYS, sort=False)["value"]
    table = grouped.agg(mean="mean", sd="std", least="min", greatest="max", runs="size")
    return table.reset_index().sort_values(KEYS, kind="stable", ignore_index=True)
