"""The value of a claim in each run, with the data for its interval, from stored outcomes and histories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from circuit_distillation import grid
from circuit_distillation.arms import CIRCUIT_ARMS
from circuit_distillation.statistics.mcnemar import mcnemar_test
from circuit_distillation.statistics.nested_bootstrap import Family
from circuit_distillation.study.claims import ALPHA, FamilyClaim, RecordClaim, RunClaim, Term
from circuit_distillation.study.outcomes import Model, Outcomes


@dataclass(frozen=True)
class Measured:
    """A claim's values by family, and by run for each student where it is about students."""

    families: list[Family]
    by_student: dict[str, NDArray]  # student -> [run]


def measure_run_claim(claim: RunClaim, task: str, outcomes: Outcomes, histories: pd.DataFrame) -> Measured:
    """The claim in every run of a task; the families hold the mean over students."""
    families: list[Family] = []
    by_student: dict[str, list[float]] = {student: [] for student in grid.students()}
    for seed in outcomes.seeds(task):
        draws = outcomes.training_seeds(task, seed)
        parts = [
            _student_family(claim, task, seed, draws, student, outcomes, histories)
            for student in grid.students()
        ]
        families.append(Family(np.mean([part.sums for part in parts], axis=0), parts[0].sizes))
        for student, part in zip(grid.students(), parts, strict=True):
            by_student[student] += part.values(lambda means: means[0]).tolist()
    return Measured(families, {student: np.array(values) for student, values in by_student.items()})


def measure_family_claim(claim: FamilyClaim, task: str, outcomes: Outcomes) -> list[Family]:
    """The claim in every family: its sum, or numerator and denominator of its ratio, as components."""
    families = []
    for seed in outcomes.seeds(task):
        values = [term.factor * _right(outcomes, task, seed, None, claim.role, term) for term in claim.terms]
        components = values if claim.is_ratio else [np.sum(values, axis=0)]
        families.append(_by_scene(np.stack(components)[:, None], outcomes.scenes(task, seed)))
    return families


def measure_record_claim(
    claim: RecordClaim, task: str, histories: pd.DataFrame, circuits: pd.DataFrame
) -> list[Family]:
    """The claim in every family, without scenes; none of families that did not measure it."""
    families = []
    for seed, part in histories[histories["task"] == task].groupby("seed"):
        if claim.measure == "parameters_left":
            circuit_arms = part[part["arm"].isin(CIRCUIT_ARMS)]
            by_draw = circuit_arms.groupby(["training_seed", "role"])["pct_parameters"].mean()
            value = 1 - float(by_draw.groupby("training_seed").mean().mean()) / 100
        elif claim.measure == "stable_heads":
            value = stable_heads(circuits, task, int(seed))
        else:
            value = shared_heads(circuits, task, int(seed))
        families.append(_without_scenes([value]))
    return [family for family in families if not np.isnan(family.sums).any()]


def shared_heads(circuits: pd.DataFrame, task: str, seed: int, role: str = "large") -> float:
    """Share of the tuned model's circuit heads that are in its base's circuit."""
    own = circuits[(circuits["task"] == task) & (circuits["seed"] == seed) & (circuits["role"] == role)]
    heads = {kind: set(zip(part["layer"], part["head"], strict=True)) for kind, part in own.groupby("kind")}
    if not heads.get("base") or not heads.get("tuned"):
        raise ValueError(f"no circuits of {role}, task {task}, seed {seed}: run circuit_discovery first")
    return len(heads["base"] & heads["tuned"]) / len(heads["tuned"])


def stable_heads(circuits: pd.DataFrame, task: str, seed: int, role: str = "large") -> float:
    """Mean share of redrawn prompts with which a head of the tuned model's circuit enters; NaN if unknown."""
    if "redraws" not in circuits:
        return float("nan")
    own = circuits.query("task == @task and seed == @seed and role == @role and kind == 'tuned'")
    return float(own["redraws"].mean())


def mcnemar_counts(claim: RunClaim, task: str, outcomes: Outcomes) -> dict[str, int]:
    """The paper's test in every run and student, uncorrected: how often better, worse, and of how many tests.

    Only for claims that compare the full models of two arms; empty for the others.
    """
    if len(claim.terms) != 2 or claim.margin or any(term.scope != "full" for term in claim.terms):
        return {}
    minus, plus = sorted(claim.terms, key=lambda term: term.factor)
    tests = [
        mcnemar_test(*(_right(outcomes, task, seed, draw, student, term) for term in (minus, plus)))
        for seed in outcomes.seeds(task)
        for draw in outcomes.training_seeds(task, seed)
        for student in grid.students()
    ]
    found = [test for test in tests if test.p_value < ALPHA]
    better = sum(test.n01 > test.n10 for test in found)
    worse = sum(test.n01 < test.n10 for test in found)
    return {"mcnemar_better": better, "mcnemar_worse": worse, "mcnemar_tests": len(tests)}


def _student_family(
    claim: RunClaim,
    task: str,
    seed: int,
    draws: Sequence[int],
    student: str,
    outcomes: Outcomes,
    histories: pd.DataFrame,
) -> Family:
    if claim.history:
        return _without_scenes(
            [_from_histories(claim, task, seed, draw, student, histories) for draw in draws]
        )
    values = [
        claim.margin
        + np.sum(
            [term.factor * _right(outcomes, task, seed, draw, student, term) for term in claim.terms], axis=0
        )
        for draw in draws
    ]
    return _by_scene(np.stack(values)[None], outcomes.scenes(task, seed))


def _right(
    outcomes: Outcomes, task: str, seed: int, draw: int | None, role: str, term: Term
) -> NDArray[np.float64]:
    if term.arm == "constant_answer":
        return outcomes.constant_answer(task, seed)
    return outcomes.right(Model(task, seed, draw, role, term.arm), term.scope)


def _by_scene(values: NDArray, scenes: NDArray) -> Family:
    """`values` [component, training seed, example] summed by scene."""
    n = int(scenes.max()) + 1
    sums = np.stack([[np.bincount(scenes, weights=row, minlength=n) for row in part] for part in values])
    return Family(sums, np.bincount(scenes, minlength=n))


def _without_scenes(values: Sequence[float]) -> Family:
    return Family(np.array(values, dtype=np.float64)[None, :, None], np.ones(1))


def _from_histories(
    claim: RunClaim, task: str, seed: int, draw: int, student: str, histories: pd.DataFrame
) -> float:
    """How much less the second arm of `versus` has than the first: nats of CE, or a share of the seconds."""
    own = histories.query("task == @task and seed == @seed and training_seed == @draw and role == @student")
    first, second = (own[own["arm"] == arm].sort_values("step") for arm in claim.versus)
    if first.empty or second.empty:
        raise ValueError(f"no history of {student} in task {task}, seed {seed}, training seed {draw}")
    if claim.history == "seconds":
        return 1 - float(second["seconds"].max()) / float(first["seconds"].max())
    place = 0.5 if claim.history == "ce_half" else 1.0
    return _ce_at(first, place) - _ce_at(second, place)


def _ce_at(history: pd.DataFrame, place: float) -> float:
    """Mean training CE over the tenth of the steps that ends at this share of them: one batch is noise."""
    end = max(1, round(place * len(history)))
    return float(history["ce"].iloc[max(0, end - max(1, len(history) // 10)) : end].mean())
