"""Theory of mind read properly: accuracy per cell, balanced accuracy, invalid answers, trivial baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from circuit_distillation.arms import row_name
from circuit_distillation.reporting.results import BELIEF_CELLS
from circuit_distillation.reporting.selection import models_of, rows_of

_BLOCKS = ("Baselines", "Fully Distilled", "Circuit Distilled", "Discovered circuits")  # then any other
# Heading -> metric; the same metrics for the full model and for its circuit.
CELL_METRICS = {
    **{cell.capitalize(): f"{{part}}_accuracy.{cell}" for cell in BELIEF_CELLS},
    "Balanced": "balanced_{part}_accuracy",
    "Invalid answers": "{part}_invalid",
}


def cell_rows(results: pd.DataFrame, labels: Mapping[str, str], experiment: str) -> list[dict[str, Any]]:
    """A row for each model and arm of theory of mind: name and means over seeds, "full" and "circuit".

    Rows of a block stand together, blocks in the order of the tables.
    """
    tom = results[results["task"] == "tom"]
    rows = []
    for role, arm in models_of(tom):
        own = rows_of(tom, role, arm, experiment)
        if own.empty:
            continue
        means = own.groupby("metric")["value"].mean()
        values = {
            part: [means.get(metric.format(part=part)) for metric in CELL_METRICS.values()]
            for part in ("full", "circuit")
        }
        rows.append({"name": row_name("tom", role, arm, labels), **values})
    return sorted(rows, key=lambda row: _place(row["name"].block))


def _place(block: str) -> int:
    return _BLOCKS.index(block) if block in _BLOCKS else len(_BLOCKS)


def trivial_baselines(results: pd.DataFrame) -> list[dict[str, Any]]:
    """What no understanding reaches on the stored test sets of each task: plain, and balanced over cells."""
    kinds = {
        "Always the most frequent answer": ("majority_answer_accuracy", "majority_answer_balanced"),
        "Read the container, whoever saw it": ("read_container_accuracy", "read_container_balanced"),
    }
    means = results.groupby(["task", "metric"])["value"].mean()
    return [
        {"task": task, "name": name, "plain": means[task, plain], "balanced": means.get((task, balanced))}
        for task in sorted(set(results["task"]))
        for name, (plain, balanced) in kinds.items()
        if (task, plain) in means
    ]
