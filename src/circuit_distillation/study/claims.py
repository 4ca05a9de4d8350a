"""The paper's claims as data, declared before any result: what is compared, in which direction, by how much.

A claim holds if its value is above 0 (or above its threshold).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from circuit_distillation import grid
from circuit_distillation.arms import PROPOSED
from circuit_distillation.reporting.tables import PAPER_LABELS, paper_rows

ALPHA = 0.05
POWER = 0.8  # of the tests, for the least value that a study could see
SMALLEST = 0.01  # accuracy; a gain shown to be smaller is no gain


@dataclass(frozen=True)
class Term:
    """One accuracy in a comparison: factor x accuracy of an arm in a scope (full, circuit, random)."""

    factor: float
    arm: str
    scope: str = "full"


@dataclass(frozen=True)
class RunClaim:
    """A claim with a value in every run: the sum of its terms, or a figure of the histories, plus the margin.

    history: "ce_half" and "ce_final" (nats), "seconds" (share saved) compare the second arm of `versus` with
    the first. smallest: a value shown to be below this refutes the claim.
    """

    name: str
    statement: str
    terms: tuple[Term, ...] = ()
    history: Literal["", "ce_half", "ce_final", "seconds"] = ""
    versus: tuple[str, str] = ("circuit_ce", PROPOSED)
    margin: float = 0.0
    smallest: float = 0.0


@dataclass(frozen=True)
class FamilyClaim:
    """A claim about models that no training draw changes: one value a family, judged by its interval.

    The value is the sum of the terms of a role, or the ratio of two terms; it holds above `threshold`.
    """

    name: str
    statement: str
    terms: tuple[Term, ...]
    threshold: float
    role: str = "large"
    is_ratio: bool = False
    tasks: tuple[str, ...] = ("entity", "tom")


@dataclass(frozen=True)
class RecordClaim:
    """A claim about stored records, shares of heads or of parameters: one value a family."""

    name: str
    statement: str
    measure: Literal["shared_heads", "stable_heads", "parameters_left"]
    threshold: float


def _against(arm: str, scope: str = "full") -> tuple[Term, ...]:
    return Term(1, PROPOSED, scope), Term(-1, arm, scope)


# At most twelve claims a task: with nine runs p is at least 0.0039, and Holm's first step must be passable.
RUN_CLAIMS = (
    RunClaim(
        "align_beats_ce",
        "CE + Align CKA beats CE alone on the same heads, full model",
        _against("circuit_ce"),
        smallest=SMALLEST,
    ),
    RunClaim(
        "align_beats_ce_circuit",
        "CE + Align CKA beats CE alone on the same heads, circuit",
        _against("circuit_ce", "circuit"),
        smallest=SMALLEST,
    ),
    RunClaim(
        "align_beats_full_ce",
        "CE + Align CKA beats CE on all weights",
        _against("full_ce"),
        smallest=SMALLEST,
    ),
    RunClaim(
        "random_pairs_harm",
        "CE + Rand CKA falls below the base student",
        (Term(1, "base"), Term(-1, "circuit_ce_rand_cka")),
        smallest=SMALLEST,
    ),
    RunClaim(
        "align_beats_random_pairs",
        "CE + Align CKA beats CE + Rand CKA",
        _against("circuit_ce_rand_cka"),
        smallest=SMALLEST,
    ),
    RunClaim(
        "align_alone_keeps_base",
        "Align CKA alone keeps the base's accuracy (within 0.05)",
        (Term(1, "circuit_align_cka"), Term(-1, "base")),
        margin=0.05,
    ),
    RunClaim(
        "gains_in_circuit",
        "The gap between full model and circuit is smaller under CE + Align CKA than under CE on all weights",
        (
            Term(1, "full_ce"),
            Term(-1, "full_ce", "circuit"),
            Term(-1, PROPOSED),
            Term(1, PROPOSED, "circuit"),
        ),
        smallest=SMALLEST,
    ),
    RunClaim(
        "faster_at_half",
        "CE + Align CKA has the lower training CE at half of the steps (Figure 5)",
        history="ce_half",
    ),
    RunClaim(
        "lower_final_ce", "CE + Align CKA ends with the lower training CE (Figure 5)", history="ce_final"
    ),
    RunClaim(
        "few_heads_suffice",
        "CE on 11 to 15 % of the heads comes within 0.02 of CE on all weights",
        (Term(1, "circuit_ce"), Term(-1, "full_ce")),
        margin=0.02,
    ),
    RunClaim(
        "less_time",
        "CE + Align CKA on the circuit trains in less time than CE on all weights",
        history="seconds",
        versus=("full_ce", PROPOSED),
    ),
)
FAMILY_CLAIMS = (
    FamilyClaim(
        "circuit_faithful",
        "The teacher's circuit keeps at least 0.85 of its accuracy",
        (Term(1, "tuned_discovered", "circuit"), Term(1, "tuned_discovered", "full")),
        threshold=0.85,
        is_ratio=True,
    ),
    FamilyClaim(
        "random_near_zero",
        "Random circuits of its size stay at most 0.05 above the best constant answer",
        (Term(1, "constant_answer"), Term(-1, "tuned_discovered", "random")),
        threshold=-0.05,
    ),
    FamilyClaim(
        "tuning_strengthens",
        "Tuning strengthens the circuit (tuned minus base, each circuit alone)",
        (Term(1, "tuned_discovered", "circuit"), Term(-1, "base_discovered", "circuit")),
        threshold=0.0,
    ),
    FamilyClaim(
        "instructions_help",
        "Instruction tuning helps theory of mind (tuned minus base, with in-domain stories in the mixture)",
        (Term(1, "tuned"), Term(-1, "base")),
        threshold=0.0,
        tasks=("tom",),
    ),
)
RECORD_CLAIMS = (
    RecordClaim(
        "same_circuit",
        "Tuning keeps the circuit: at least half of the tuned teacher's heads are in the base's circuit",
        "shared_heads",
        threshold=0.5,
    ),
    RecordClaim(
        "stable_circuit",
        "Prompts drawn again keep the tuned teacher's circuit: its heads enter with at least 0.9 of them",
        "stable_heads",
        threshold=0.9,
    ),
    RecordClaim(
        "few_parameters",
        "Circuit arms leave at least 0.85 of the student's parameters untouched",
        "parameters_left",
        threshold=0.85,
    ),
)


def paper_value(claim: RunClaim | FamilyClaim, task: str) -> float | None:
    """The same value in the paper's tables (mean over its students that the
    family has, for claims about runs); None if not there."""
    if isinstance(claim, RunClaim) and claim.history:
        return None
    rows = paper_rows().query("task == @task").drop_duplicates(["role", "arm"]).set_index(["role", "arm"])
    printed = [role for role in grid.students() if role in PAPER_LABELS]
    roles = printed if isinstance(claim, RunClaim) else [claim.role]
    column = {"full": "full_model", "circuit": "circuit"}
    values = []
    for role in roles:
        figures = []
        for term in claim.terms:
            key = (role, term.arm.removesuffix("_discovered"))
            if key not in rows.index or term.scope not in column:
                return None
            figures.append(term.factor * float(rows.loc[key, column[term.scope]]))
        ratio = isinstance(claim, FamilyClaim) and claim.is_ratio
        values.append(figures[0] / figures[1] if ratio else sum(figures))
    return round(sum(values) / len(values), 3) if values else None
