"""What the study of regimes claims, declared before its results, and how a claim is judged.

A claim compares two arms at one size on one test set. Its value in a family is the mean difference of their
accuracies over students and draws of prompts. The test is that of a mixed model with a random intercept for
each family, which for balanced data is the t-test of the families' means. The primary claims of a task are
corrected by Holm among themselves, all its other claims by Holm among those.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from circuit_distillation.statistics.holm import holm

ALPHA = 0.05
FORM = "circuit_ce_attention"  # the best form: what goes beyond the printed method
WEAK_CELL = "seen"  # of theory of mind: students lack it; its prompts of the test split are a set, too
OTHER_TESTS = {"entity": "boxes_10", "tom": "unseen_templates"}
UNIT = ["seed", "role", "training_seed"]


@dataclass(frozen=True)
class RegimeClaim:
    """That `arm` is more accurate than `versus`."""

    group: str  # "primary", "controls", "printed", "pairs" or "beyond"
    size: str
    arm: str
    versus: str
    test: str = "test"

    def statement(self) -> str:
        where = "" if self.test == "test" else f", {self.test}"
        return f"{self.arm} beats {self.versus}, {self.size}{where}"


def declared(task: str) -> Iterator[RegimeClaim]:
    """All claims of a task, in the order of the table."""
    for size in ("n64", "n256"):
        yield RegimeClaim("primary", size, FORM, "circuit_ce")
        yield RegimeClaim("primary", size, FORM, f"{FORM}_permuted")
        yield RegimeClaim("controls", size, FORM, f"{FORM}_other_role")
        yield RegimeClaim("controls", size, "base", f"{FORM}_other_role")
        yield RegimeClaim("controls", size, FORM, "full_ce")
        yield RegimeClaim("beyond", size, FORM, "circuit_ce", OTHER_TESTS[task])
        yield RegimeClaim("beyond", size, "circuit_attention", "base")
        yield RegimeClaim("printed", size, "circuit_ce_align_cka", "circuit_ce")
        yield RegimeClaim("printed", size, "circuit_ce_align_cka", "circuit_ce_rand_cka")
        yield RegimeClaim("printed", size, "base", "circuit_ce_rand_cka")
        yield RegimeClaim("printed", size, "circuit_ce_align_cka", "full_ce")
        yield RegimeClaim("pairs", size, FORM, f"{FORM}_eq5")
        yield RegimeClaim("pairs", size, "circuit_ce_function_cka", "circuit_ce_align_cka")
        if task == "tom":
            yield RegimeClaim("beyond", size, FORM, "circuit_ce", WEAK_CELL)
    for size in ("n16", "n32", "n128", "lesion"):
        yield RegimeClaim("beyond", size, FORM, "circuit_ce")


def accuracies(outcomes: pd.DataFrame) -> pd.DataFrame:
    """One row for each model, size and test set of every run.

    `outcomes` has the rows of `regimes.run_regime` with task, seed, training_seed, role and size. Columns:
    accuracy; candidate, the share of answers that are a candidate; right_if_candidate; unseen_answer, the
    accuracy where no training prompt has the answer (NaN where all are seen). The set WEAK_CELL is a part of
    the set "test".
    """
    weak = outcomes[(outcomes["set"] == "test") & (outcomes["cell"] == WEAK_CELL)]
    outcomes = pd.concat([outcomes, weak.assign(set=WEAK_CELL)], ignore_index=True)
    key = ["task", *UNIT, "size", "arm", "set"]
    table = outcomes.groupby(key, sort=False)[["correct", "candidate"]].mean()
    unseen = outcomes[~outcomes["seen_answer"]].groupby(key, sort=False)["correct"].mean()
    table = table.rename(columns={"correct": "accuracy"}).join(unseen.rename("unseen_answer"))
    table["right_if_candidate"] = table["accuracy"] / table["candidate"]
    return table.reset_index()


def differences(table: pd.DataFrame, claim: RegimeClaim, task: str) -> pd.Series:
    """The value of a claim in every run that has both arms, by seed, role and training seed."""
    own = table[(table["task"] == task) & (table["size"] == claim.size) & (table["set"] == claim.test)]
    values = own.pivot(index=UNIT, columns="arm", values="accuracy")
    if not {claim.arm, claim.versus} <= set(values):
        return pd.Series(dtype=float)
    return (values[claim.arm] - values[claim.versus]).dropna()


def judge(table: pd.DataFrame, task: str) -> pd.DataFrame:
    """Every declared claim of a task with runs: value, 95 % interval, p, Holm's p and the verdict.

    detectable: the least true value that such a study would find with a power of 0.8 at ALPHA, uncorrected.
    """
    rows = [row for claim in declared(task) if (row := _row(table, claim, task))]
    found = pd.DataFrame(rows)
    if found.empty:
        return found
    found["p_holm"] = np.nan
    primary = found["group"] == "primary"
    for own in (primary & found["p"].notna(), ~primary & found["p"].notna()):
        found.loc[own, "p_holm"] = holm(found.loc[own, "p"].to_numpy())
    found["verdict"] = [_verdict(value, p) for value, p in zip(found["value"], found["p_holm"], strict=True)]
    return found


def family_test(means: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Low and high end of the 95 % interval, two-sided p, detectable value; NaN for a single family."""
    from scipy import stats

    n = len(means)
    if n < 2:
        return (np.nan,) * 4
    error = float(means.std(ddof=1)) / n**0.5
    half = float(stats.t.ppf(1 - ALPHA / 2, n - 1)) * error
    p = float(stats.ttest_1samp(means, 0.0).pvalue) if error else float(means.mean() == 0)
    seen = (float(stats.t.ppf(1 - ALPHA / 2, n - 1)) + float(stats.t.ppf(0.8, n - 1))) * error
    return float(means.mean()) - half, float(means.mean()) + half, p, seen


def _row(table: pd.DataFrame, claim: RegimeClaim, task: str) -> dict[str, object] | None:
    values = differences(table, claim, task)
    if values.empty:
        return None
    families = values.groupby("seed").mean()
    low, high, p, detectable = family_test(families.to_numpy())
    return {
        "task": task,
        "group": claim.group,
        "size": claim.size,
        "set": claim.test,
        "arm": claim.arm,
        "versus": claim.versus,
        "value": float(families.mean()),
        "low": low,
        "high": high,
        "p": p,
        "detectable": detectable,
        "families": len(families),
        "runs": len(values),
        "runs_above": int((values > 0).sum()),
    }


def _verdict(value: float, p: float) -> str:
    if not p < ALPHA:
        return "undecided"
    return "holds" if value > 0 else "does not hold"
