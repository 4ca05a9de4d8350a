"""Tables 1 to 4: measured rows in the order of the paper, beside its numbers. Table 5: other tasks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from io import StringIO

import pandas as pd

from circuit_distillation.arms import REFERENCES, row_name
from circuit_distillation.grid import ROLES
from circuit_distillation.reporting.selection import models_of, rows_of
from circuit_distillation.tasks.task import TASKS

TABLES = (1, 2, 3, 4)
OTHER_TASKS = 5  # the table of tasks that the paper does not have
CAPTIONS = {
    1: "Entity tracking",
    2: "Theory of mind",
    3: "Entity tracking, extended results",
    4: "Theory of mind, extended results",
    OTHER_TASKS: "Tasks that the paper does not have",
}
# Column of a table -> metric of the results.
METRICS = {
    "full_model": "full_accuracy",
    "circuit": "circuit_accuracy",
    "random_circuit": "random_circuit_accuracy",
    "faithfulness": "faithfulness",
    "candidate_accuracy": "full_candidate_accuracy",
    "pct_heads": "pct_heads",
    "pct_parameters": "pct_parameters",
}
NAMES = ("block", "model", "loss")
COLUMNS = (*NAMES, *METRICS, "n_test", "seeds", "paper_full_model", "paper_circuit")
NOT_AVAILABLE = "n/a"
PAPER_LABELS = {"small": "1B", "medium": "3B", "large": "8B"}


@cache
def paper_rows() -> pd.DataFrame:
    """The paper's four tables: table, task, role, arm, the row's names as printed and its figures.

    "CKA + Rand CKA" is printed in some rows of Tables 3 and 4; both names are the control arm.
    """
    text = files("circuit_distillation.reporting").joinpath("paper_tables.csv").read_text(encoding="utf-8")
    return pd.read_csv(StringIO(text), keep_default_na=True)


def build_table(
    results: pd.DataFrame, number: int, labels: Mapping[str, str], experiment: str = "paper"
) -> pd.DataFrame:
    """Table `number`, columns `COLUMNS`: accuracies in [0, 1], means over seeds; `n_test` is per seed.

    The rows of the paper come first, empty where nothing was measured ("n/a" for instruction-tuned models
    the family does not have). Below them stand rows the paper does not have: in every table the same arms of
    students of other roles, in Tables 3 and 4 other arms and, in every table, the arms of other experiments,
    with the experiment in the block's name. Table 5 holds all arms of the tasks that the paper does not have.
    `labels` has the roles of the family: only these have rows.
    """
    results = results[results["model"].isin(labels)]
    if number == OTHER_TASKS:
        return _frame(_rows_of_other_tasks(results, labels, experiment))
    if number not in TABLES:
        raise ValueError(f"there is no Table {number}; the paper has Tables 1 to 4")
    paper = paper_rows().query("table == @number and role in @labels")
    task = str(paper["task"].iloc[0])
    measured = results[results["task"] == task]
    rows = [_paper_row(measured, row, labels, experiment) for row in paper.to_dict("records")]
    rows += _rows_beyond(measured, paper, task, labels, experiment)
    return _frame(rows)


def _frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"n_test": "Int64", "seeds": "Int64"})


def _rows_of_other_tasks(
    results: pd.DataFrame, labels: Mapping[str, str], experiment: str
) -> list[dict[str, object]]:
    """Models that no arm trains first; the arms of other experiments after those of this one."""
    rows = []
    for task in sorted(set(results["task"]) - set(paper_rows()["task"])):
        measured = results[results["task"] == task]
        others = sorted(set(measured["experiment"]) - {experiment})
        for named in (experiment, *others):
            for role, arm in models_of(measured):
                own = named == experiment or arm not in REFERENCES
                if values := _measure(measured, role, arm, named) if own else {}:
                    name = row_name(task, role, arm, labels)
                    block = f"{TASKS[task].title}: {name.block}" + (f" ({named})" if named in others else "")
                    rows.append({**name._asdict(), "block": block, **values})
    return rows


def _paper_row(
    measured: pd.DataFrame, row: Mapping[str, object], labels: Mapping[str, str], experiment: str
) -> dict[str, object]:
    task, role, arm = str(row["task"]), str(row["role"]), str(row["arm"])
    values = _measure(measured, role, arm, experiment)
    if not values and arm == "instruct":
        values = dict.fromkeys(METRICS, NOT_AVAILABLE)
    figures = {"paper_full_model": row["full_model"], "paper_circuit": row["circuit"]}
    # Tables 2 and 4 print two names for the same model: each row keeps its own.
    printed = str(row["model"]).replace(PAPER_LABELS[role], labels[role])
    return {**row_name(task, role, arm, labels)._asdict(), "model": printed, **values, **figures}


def _rows_beyond(
    measured: pd.DataFrame, paper: pd.DataFrame, task: str, labels: Mapping[str, str], experiment: str
) -> list[dict[str, object]]:
    in_paper = list(zip(paper["role"], paper["arm"], strict=True))
    others = sorted(
        set(models_of(measured)) - set(in_paper), key=lambda pair: (ROLES.index(pair[0]), pair[1])
    )
    alike = [(role, arm) for role, arm in others if role not in PAPER_LABELS and arm in set(paper["arm"])]
    rows = []
    for role, arm in others if paper["table"].iloc[0] in (3, 4) else alike:
        if values := _measure(measured, role, arm, experiment):
            rows.append({**row_name(task, role, arm, labels)._asdict(), **values})
    for other in sorted(set(measured["experiment"]) - {experiment}):
        for role, arm in (*in_paper, *alike):
            values = _measure(measured, role, arm, other) if arm not in REFERENCES else {}
            if values:
                name = row_name(task, role, arm, labels)
                rows.append({**name._asdict(), "block": f"{name.block} ({other})", **values})
    return rows


def _measure(measured: pd.DataFrame, role: str, arm: str, experiment: str) -> dict[str, object]:
    """Means over seeds of one row; nothing where the arm was not run."""
    own = rows_of(measured, role, arm, experiment)
    if own.empty:
        return {}
    means = own.groupby("metric")["value"].mean()
    values: dict[str, object] = {column: means.get(metric) for column, metric in METRICS.items()}
    values["n_test"] = int(own.loc[own["metric"] == "full_accuracy", "n"].min())
    values["seeds"] = int(own["seed"].nunique())
    return values
