"""The table of claims: value, interval, declared test and verdict of each, from stored results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from circuit_distillation import grid
from circuit_distillation.statistics.holm import holm
from circuit_distillation.statistics.nested_bootstrap import Family, first, nested_interval, ratio
from circuit_distillation.statistics.sign_flip import detectable_effect, sign_flip_test
from circuit_distillation.study.claims import (
    ALPHA,
    FAMILY_CLAIMS,
    POWER,
    RECORD_CLAIMS,
    RUN_CLAIMS,
    FamilyClaim,
    RecordClaim,
    RunClaim,
    paper_value,
)
from circuit_distillation.study.measure import (
    mcnemar_counts,
    measure_family_claim,
    measure_record_claim,
    measure_run_claim,
)
from circuit_distillation.study.outcomes import Outcomes

HOLDS, FAILS, OPEN = "holds", "does not hold", "undecided"
BEFORE = (
    "task", "claim", "statement", "unit", "n", "paper", "value", "low", "high", "scene_low", "scene_high",
)  # fmt: skip
AFTER = (
    "threshold", "smallest", "p", "p_holm", "p_smaller_holm", "detectable", "mcnemar_better", "mcnemar_worse",
    "mcnemar_tests", "verdict",
)  # fmt: skip


def claims_table(
    outcomes: pd.DataFrame, histories: pd.DataFrame, circuits: pd.DataFrame, n_resamples: int = 2000
) -> pd.DataFrame:
    """A row for each task and claim, in the declared order.

    Claims about runs have the primary test: exact sign-flip over the runs, Holm over the task's rows. A claim
    holds where that test finds its value above 0, does not hold where it finds it below 0 or, for gains,
    below the smallest one of interest, and is undecided otherwise. `detectable` is the true value that would
    be found with a power of 0.8 at the hardest step of Holm. Claims about families have too few units for a
    test: they hold or not by the 95 % interval on one side of the threshold. `value` holds a claim's margin.
    """
    read = Outcomes(outcomes)
    rows = []
    for task in read.tasks():
        rows += _run_rows(task, read, histories, n_resamples)
        rows += [_family_row(claim, task, measure_family_claim(claim, task, read), n_resamples)
                 for claim in FAMILY_CLAIMS if task in claim.tasks]  # fmt: skip
        records = {claim: measure_record_claim(claim, task, histories, circuits) for claim in RECORD_CLAIMS}
        rows += [
            _family_row(claim, task, families, n_resamples) for claim, families in records.items() if families
        ]
    return pd.DataFrame(rows, columns=[*BEFORE, *grid.students(), *AFTER]).astype(
        {"mcnemar_better": "Int64", "mcnemar_worse": "Int64", "mcnemar_tests": "Int64"}
    )


def verdict(value: float, p_above: float, p_smaller: float, smallest: float) -> str:
    """What the declared tests say: p_above against 0, p_smaller against `smallest`, both after Holm.

    A gain shown to be smaller than the smallest of interest is none, also where it is above 0.
    """
    if p_smaller < ALPHA and value < smallest:
        return FAILS
    return HOLDS if p_above < ALPHA and value > 0 else OPEN


def interval_verdict(low: float, high: float, threshold: float) -> str:
    """By an interval alone: on which side of the threshold it lies."""
    return HOLDS if low >= threshold else FAILS if high < threshold else OPEN


def _run_rows(
    task: str, outcomes: Outcomes, histories: pd.DataFrame, n_resamples: int
) -> list[dict[str, Any]]:
    rows = [_run_row(claim, task, outcomes, histories, n_resamples) for claim in RUN_CLAIMS]
    above, smaller = holm([row["p"] for row in rows]), holm([row.pop("p_smaller") for row in rows])
    for row, p_above, p_smaller in zip(rows, above, smaller, strict=True):
        row |= {"p_holm": float(p_above), "p_smaller_holm": float(p_smaller)}
        row["verdict"] = verdict(row["value"], row["p_holm"], row["p_smaller_holm"], row["smallest"])
    return rows


def _run_row(
    claim: RunClaim, task: str, outcomes: Outcomes, histories: pd.DataFrame, n_resamples: int
) -> dict[str, Any]:
    measured = measure_run_claim(claim, task, outcomes, histories)
    values = np.concatenate([family.values(first) for family in measured.families])
    row = _row(claim, task, "run", measured.families, first, n_resamples)
    paper = row["paper"]
    return row | {
        "paper": None if paper is None else round(paper + claim.margin, 3),
        **{student: float(of.mean()) for student, of in measured.by_student.items()},
        "smallest": claim.smallest,
        "p": sign_flip_test(values),
        "p_smaller": sign_flip_test(values - claim.smallest),
        "detectable": detectable_effect(values, ALPHA / len(RUN_CLAIMS), power=POWER),
        **mcnemar_counts(claim, task, outcomes),
    }


def _family_row(
    claim: FamilyClaim | RecordClaim, task: str, families: list[Family], n_resamples: int
) -> dict[str, Any]:
    combine = ratio if isinstance(claim, FamilyClaim) and claim.is_ratio else first
    row = _row(claim, task, "family", families, combine, n_resamples)
    decided = interval_verdict(row["low"], row["high"], claim.threshold)
    return row | {"threshold": claim.threshold, "verdict": decided}


def _row(claim, task: str, unit: str, families: list[Family], combine, n_resamples: int) -> dict[str, Any]:
    whole = nested_interval(families, combine, n_resamples=n_resamples)
    scenes = nested_interval(families, combine, scenes_only=True, n_resamples=n_resamples)
    has_scenes = any(len(family.sizes) > 1 for family in families)
    return {
        "task": task,
        "claim": claim.name,
        "statement": claim.statement,
        "unit": unit,
        "n": sum(family.sums.shape[1] for family in families),
        "paper": None if isinstance(claim, RecordClaim) else paper_value(claim, task),
        "value": whole.estimate,
        "low": whole.low,
        "high": whole.high,
        "scene_low": scenes.low if has_scenes else None,
        "scene_high": scenes.high if has_scenes else None,
    }
