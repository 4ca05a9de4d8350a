"""Matching rules against the truth: means over the seeds of an experiment, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import pandas as pd

from circuit_distillation.reporting.answer import TASK_NAMES

CAPTION = "Matching rules against the truth: shares of relevant student heads, means over seeds"
MEANS = ("n_heads", "n_pairs", "ancestor_share", "chance_ancestor", "stage_share", "chance_stage")


def matching_table(rows: pd.DataFrame, labels: Mapping[str, str], experiment: str) -> pd.DataFrame:
    """Of rows (task, seed, experiment, student and the columns of `mapping.score`): a row for each task,
    student and rule of one experiment.

    Means are over the seeds on which a rule applies; a rule that applies on none is left out.
    """
    own = rows[(rows["experiment"] == experiment) & (rows["n_pairs"] > 0)]
    groups = dict(list(own.groupby(["task", "student", "label"])))
    # Rules in the order of their table, which every run has kept.
    cells = product(sorted(set(own["task"])), labels, dict.fromkeys(rows["label"]))
    table = [
        {
            "task": TASK_NAMES.get(cell[0], cell[0]),
            "student": labels[cell[1]],
            "rule": cell[2],
            **groups[cell][list(MEANS)].mean().to_dict(),
            "seeds": groups[cell]["seed"].nunique(),
        }
        for cell in cells
        if cell in groups
    ]
    return pd.DataFrame(table, columns=["task", "student", "rule", *MEANS, "seeds"])
