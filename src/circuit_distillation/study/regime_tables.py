"""The tables and the figure of the study of regimes, from the accuracies of every run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from circuit_distillation.reporting.answer import TASK_NAMES
from circuit_distillation.study.regime_claims import ALPHA, RegimeClaim, differences, family_test

# The 2 x 2: how heads are paired, and what of them is aligned.
CORNERS = {
    "circuit_ce_align_cka": "CKA of z, pairs of eq. 5 (the paper)",
    "circuit_ce_attention_eq5": "attention rows, pairs of eq. 5",
    "circuit_ce_function_cka": "CKA of z, pairs by function",
    "circuit_ce_attention": "attention rows, pairs by function",
}
SIZES = {"n64": 64, "n256": 256}
COLUMNS = {"accuracy": "Accuracy", "candidate": "names a candidate", "right_if_candidate": "right if it does"}


def corners(table: pd.DataFrame) -> pd.DataFrame:
    """The gain of each corner of the 2 x 2 over CE on the same heads, for `reporting.gains.corners_svg`."""
    rows = []
    for task in dict.fromkeys(table["task"]):
        for size, n_train in SIZES.items():
            for arm, label in CORNERS.items():
                values = differences(table, RegimeClaim("", size, arm, "circuit_ce"), task)
                if values.empty:
                    continue
                means = values.groupby("seed").mean().to_numpy()
                low, high, p, _ = family_test(means)
                verdict = "undecided" if not p < ALPHA else ("better" if means.mean() > 0 else "worse")
                own = {"value": float(means.mean()), "low": low, "high": high, "verdict": verdict}
                group = f"{TASK_NAMES.get(task, task)}, {n_train} prompts"
                rows.append({"group": group, "label": label, **own, "families": len(means)})
    return pd.DataFrame(rows)


def accuracy_table(table: pd.DataFrame, task: str, test: str = "test") -> str:
    """Markdown: an arm a line, a size a column; mean and standard deviation over families' means."""
    own = table[(table["task"] == task) & (table["set"] == test)]
    families = own.groupby(["arm", "size", "seed"], sort=False)["accuracy"].mean()
    cells = families.groupby(["arm", "size"], sort=False).agg(["mean", "std"])
    text = cells.apply(lambda row: _plus_minus(row["mean"], row["std"]), axis=1).unstack("size")
    sizes = [size for size in ("n16", "n32", "n64", "n128", "n256", "lesion") if size in text]
    return _markdown(["arm", *sizes], ((arm, *row) for arm, row in _lines(text[sizes])))


def answers_table(table: pd.DataFrame, task: str, size: str) -> str:
    """Markdown: how accuracy splits into naming a candidate and naming the right one."""
    own = table[(table["task"] == task) & (table["set"] == "test") & (table["size"] == size)]
    means = own.groupby("arm", sort=False)[list(COLUMNS)].mean()
    rows = ((arm, *(f"{value:.3f}" for value in row)) for arm, row in _lines(means))
    return _markdown(["arm", *COLUMNS.values()], rows)


def claims_table(claims: pd.DataFrame) -> str:
    """Markdown: the claims of one task."""
    headings = ["group", "size", "set", "claim", "value", "95 %", "p (Holm)", "runs above 0", "verdict"]
    return _markdown(headings, (_claim_row(row) for row in claims.to_dict("records")))


def recall_table(found: pd.DataFrame) -> str:
    """Markdown: the columns of `recall.recall`."""
    headings = ["task", "rule", "recall", "95 %", "chance", "families", "p against eq. 5"]
    rows = (
        (
            TASK_NAMES.get(row["task"], row["task"]),
            row["label"],
            f"{row['recall']:.2f}",
            "" if np.isnan(row["low"]) else f"{row['low']:.2f} to {row['high']:.2f}",
            f"{row['chance']:.2f}",
            str(row["families"]),
            _p(row["p"]),
        )
        for row in found.to_dict("records")
    )
    return _markdown(headings, rows)


def document(table: pd.DataFrame, claims: pd.DataFrame, found: pd.DataFrame) -> str:
    """All tables of all tasks, each between its markers for docs/findings.md.

    `found` is of `recall.recall`.
    """
    parts = ["# Regimes", "## Matching rules against the truth", _block("recall", recall_table(found))]
    for task in dict.fromkeys(table["task"]):
        own = table[table["task"] == task]
        parts += [f"## {TASK_NAMES.get(task, task)}", f"Families: {own['seed'].nunique()}."]
        parts += ["### Claims", _block(f"{task}_claims", claims_table(claims[claims["task"] == task]))]
        for test in dict.fromkeys(own["set"]):
            text = accuracy_table(table, task, test)
            parts += [f"### Accuracy, {test}", _block(f"{task}_{test}", text)]
        for size in SIZES:
            text = answers_table(table, task, size)
            parts += [f"### Answers, {size}", _block(f"{task}_answers_{size}", text)]
    return "\n\n".join(parts) + "\n"


def _block(name: str, text: str) -> str:
    """A table between the markers that `study.document.refresh` looks for."""
    return f"<!-- table: {name} -->\n\n{text}\n\n<!-- end -->"


def _claim_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    interval = "" if np.isnan(row["low"]) else f"{row['low']:+.3f} to {row['high']:+.3f}"
    p = _p(row["p_holm"])
    claim = f"`{row['arm']}` > `{row['versus']}`"
    above = f"{row['runs_above']} of {row['runs']}"
    figures = (f"{row['value']:+.3f}", interval, p, above)
    return (row["group"], row["size"], row["set"], claim, *figures, row["verdict"])


def _p(value: float) -> str:
    if np.isnan(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _lines(frame: pd.DataFrame) -> Iterable[tuple[str, list[Any]]]:
    return ((f"`{name}`", list(row)) for name, row in zip(frame.index, frame.to_numpy(), strict=True))


def _plus_minus(mean: float, std: float) -> str:
    return f"{mean:.3f}" if np.isnan(std) else f"{mean:.3f} ± {std:.3f}"


def _markdown(headings: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [[("" if isinstance(cell, float) else str(cell)) for cell in row] for row in rows]
    head = list(headings)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))
