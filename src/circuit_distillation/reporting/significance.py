"""The tests of appendix A.1: CE + Align CKA against its rivals on the same test examples."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from circuit_distillation import grid
from circuit_distillation.arms import PROPOSED
from circuit_distillation.statistics.holm import holm
from circuit_distillation.statistics.intervals import difference_interval, odds_ratio_interval
from circuit_distillation.statistics.mcnemar import mcnemar_test

# The first two are the paper's tests, the others ask whether alignment as such and training as such matter.
RIVALS = ("circuit_ce", "full_ce", "circuit_ce_rand_cka", "base")
SCOPES = ("full", "circuit")
COLUMNS = (
    "task",
    "seed",
    "experiment",
    "student",
    "comparison",
    "scope",
    "n01",
    "n10",
    "n",
    "statistic",
    "p",
    "p_holm",
    "odds_ratio",
    "odds_ratio_low",
    "odds_ratio_high",
    "difference",
    "difference_low",
    "difference_high",
)


def significance_table(
    predictions: Mapping[str, pd.DataFrame], *, task: str, seed: int, experiment: str
) -> pd.DataFrame:
    """A row for each student, rival and scope (full model, circuit), corrected after Holm over all rows.

    `predictions` maps "student.arm" to stored predictions. n01 counts examples that only CE + Align CKA
    gets right, n10 those that only the rival gets right; the odds ratio is n01 / n10 and the difference is
    the accuracy gained, both with 95 % intervals (exact; bootstrap over scenes). Rivals that were not run
    have no row.
    """
    rows = [
        _compare(
            predictions[f"{student}.{rival}"], predictions[f"{student}.{PROPOSED}"], student, rival, scope
        )
        for student in grid.students()
        if f"{student}.{PROPOSED}" in predictions
        for rival in RIVALS
        if f"{student}.{rival}" in predictions
        for scope in SCOPES
    ]
    table = pd.DataFrame([{"task": task, "seed": seed, "experiment": experiment, **row} for row in rows])
    if table.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    table["p_holm"] = holm(table["p"])
    return table[list(COLUMNS)]


def paired_test(a: pd.DataFrame, b: pd.DataFrame, scope: str) -> dict[str, float]:
    """McNemar's test of b against a, predictions on the same examples, and the accuracy that b gains.

    n01 counts examples that only b gets right, n10 those that only a gets right; the gain has a 95 % interval
    (bootstrap over scenes).
    """
    right_a, right_b = a[f"{scope}_correct"], b[f"{scope}_correct"]
    test = mcnemar_test(right_a, right_b)
    gain = difference_interval(right_a, right_b, b["group_id"].tolist())
    return {
        "n01": test.n01,
        "n10": test.n10,
        "n": test.n,
        "statistic": test.statistic,
        "p": test.p_value,
        "difference": gain.estimate,
        "difference_low": gain.low,
        "difference_high": gain.high,
    }


def same_examples(
    a: pd.DataFrame, b: pd.DataFrame, name_a: str, name_b: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both frames in the order of example_id; ValueError where the test sets differ."""
    a, b = (x.sort_values("example_id", kind="stable", ignore_index=True) for x in (a, b))
    if a["example_id"].tolist() != b["example_id"].tolist():
        raise ValueError(f"{name_a} and {name_b} were not tested on the same examples; predict both again")
    return a, b


def _compare(
    rival: pd.DataFrame, proposed: pd.DataFrame, student: str, name: str, scope: str
) -> dict[str, object]:
    rival, proposed = same_examples(rival, proposed, f"{student}.{name}", f"{student}.{PROPOSED}")
    found = paired_test(rival, proposed, scope)
    odds = odds_ratio_interval(int(found["n01"]), int(found["n10"]))
    return {
        "student": student,
        "comparison": f"{PROPOSED} vs {name}",
        "scope": scope,
        **found,
        "odds_ratio": odds.estimate,
        "odds_ratio_low": odds.low,
        "odds_ratio_high": odds.high,
    }
