"""Why a claim does not hold: what the sweeps and the search measured that bears on it, in figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pandas as pd

from circuit_distillation.arms import PROPOSED
from circuit_distillation.study.markdown import number
from circuit_distillation.study.verdicts import HOLDS

Evidence = Callable[[pd.DataFrame, pd.DataFrame], str]


def explanations(claims: pd.DataFrame, sweeps: pd.DataFrame, search: pd.DataFrame) -> list[dict[str, str]]:
    """A row for each claim and task that does not hold: verdict, and what an experiment says about it.

    `sweeps` and `search` are trials on validation prompts; figures are full-model accuracies, the mean over
    both students, unless the text says otherwise. Claims on which no experiment bears have no row.
    """
    if sweeps.empty or search.empty:
        return []
    return [
        {
            "task": row["task"],
            "claim": f"`{row['claim']}`",
            "verdict": row["verdict"],
            "what the trials show": EVIDENCE[row["claim"]](
                sweeps[sweeps["task"] == row["task"]], search[search["task"] == row["task"]]
            ),
        }
        for row in claims.to_dict("records")
        if row["verdict"] != HOLDS and row["claim"] in EVIDENCE
    ]


def best_settings(sweeps: pd.DataFrame, task: str) -> dict[str, tuple[str, float]]:
    """CE alone and CE + Align CKA on a task: the settings of their best sweep row, and its accuracy."""
    means = sweeps[sweeps["task"] == task].groupby(["arm", "changes"], sort=False)["full_accuracy"].mean()
    best = {arm: means[arm].idxmax() for arm in ("circuit_ce", PROPOSED)}
    return {arm: (changes, float(means[arm, changes])) for arm, changes in best.items()}


def tried_settings(sweeps: pd.DataFrame) -> dict[str, int]:
    """How many different settings the sweeps gave each arm in a task."""
    if sweeps.empty:
        return {}
    return sweeps.groupby(["task", "arm"])["changes"].nunique().groupby("arm").max().to_dict()


def _series(sweeps: pd.DataFrame, sweep: str, arm: str, *keys: str, column: str = "full_accuracy") -> str:
    """Values of one arm in the order in which a sweep declares them, each with its settings of `keys`."""
    own = sweeps[(sweeps["sweep"] == sweep) & (sweeps["arm"] == arm)]
    settings = own["changes"].map(json.loads)
    at = settings.map(lambda changes: " ".join(str(changes[key]) for key in keys if key in changes))
    means = own.assign(at=at).groupby("at", sort=False)[column].mean()
    return ", ".join(f"{number(value)} ({setting})" for setting, value in means.items())


def _reference(sweeps: pd.DataFrame, arms: Sequence[str], column: str = "full_accuracy") -> str:
    """Arms at the settings chosen for them."""
    own = sweeps[sweeps["sweep"] == "random_heads"].groupby("arm")[column].mean()
    names = {"full_ce": "CE on all weights", "circuit_ce": "CE alone", PROPOSED: "CE + Align CKA"}
    names["random_heads_ce_align_cka"] = "CE + Align CKA on heads drawn at random"
    return ", ".join(f"{names[arm]} {number(own[arm])}" for arm in arms)


def _same_rate(search: pd.DataFrame, column: str) -> str:
    """CE alone and CE + Align CKA, its smallest λ, wherever the search tried both at one learning rate.

    The rates that it chose for the two may differ, which alone moves accuracy and CE.
    """
    values: dict[float, dict[str, tuple[float, float]]] = {}
    own = search[search["arm"].isin(("circuit_ce", PROPOSED))]
    for row in own.to_dict("records"):
        told = json.loads(row["changes"])
        of_rate = values.setdefault(told.get("learning_rate_heads", 0.0), {})
        found = (told.get("cka_weight", 0.0), row[column])
        of_rate[row["arm"]] = min(found, of_rate.get(row["arm"], found))
    pairs = [
        f"{number(both[PROPOSED][1])} and {number(both['circuit_ce'][1])} ({rate:g})"
        for rate, both in values.items()
        if rate and len(both) == 2
    ]
    return f"; at the same rate, CE + Align CKA and CE alone: {', '.join(pairs)}" if pairs else ""


def _by_weight(sweeps: pd.DataFrame, search: pd.DataFrame) -> str:
    aligned, alone = (_series(sweeps, "scarce_data", arm, "n_train") for arm in (PROPOSED, "circuit_ce"))
    return (
        f"CE + Align CKA by λ: {_series(sweeps, 'cka_weight', PROPOSED, 'cka_weight')}; "
        f"{_reference(sweeps, ['circuit_ce'])}. By prompts: {aligned}; CE alone {alone}"
        f"{_same_rate(search, 'full_accuracy')}"
    )


def _circuit_by_weight(sweeps: pd.DataFrame, search: pd.DataFrame) -> str:
    return "circuit " + _of_weight(sweeps, search, "circuit_accuracy")


def _loss_by_weight(sweeps: pd.DataFrame, search: pd.DataFrame) -> str:
    return "final training CE " + _of_weight(sweeps, search, "ce")


def _of_weight(sweeps: pd.DataFrame, search: pd.DataFrame, column: str) -> str:
    aligned = _series(sweeps, "cka_weight", PROPOSED, "cka_weight", column=column)
    alone = _reference(sweeps, ["circuit_ce"], column)
    return f"of CE + Align CKA by λ: {aligned}; {alone}{_same_rate(search, column)}"


def _random_by_weight(sweeps: pd.DataFrame, _: pd.DataFrame) -> str:
    mapped, drawn = (
        _series(sweeps, "cka_weight", arm, "cka_weight") for arm in (PROPOSED, "circuit_ce_rand_cka")
    )
    rules = _series(sweeps, "matching", PROPOSED, "rule", "baseline")
    return f"by λ: random pairs {drawn}; mapped pairs {mapped}; by rule of matching: {rules}"


def _by_heads(sweeps: pd.DataFrame, _: pd.DataFrame) -> str:
    arms = {"CE alone": "circuit_ce", "CE + Align CKA": PROPOSED}
    by_share = (f"{name} {_series(sweeps, 'number_of_heads', arm, 'fraction')}" for name, arm in arms.items())
    return f"by share of heads: {'; '.join(by_share)}; {_reference(sweeps, ['full_ce'])}"


def _by_rate(_: pd.DataFrame, search: pd.DataFrame) -> str:
    own = search[search["arm"] == "circuit_align_cka"]
    rates = own["changes"].map(lambda changes: json.loads(changes)["learning_rate_heads"])
    pairs = zip(own["full_accuracy"], rates, strict=True)
    return "Align CKA alone by learning rate: " + ", ".join(
        f"{number(value)} ({rate:g})" for value, rate in pairs
    )


def _circuit_by_heads(sweeps: pd.DataFrame, _: pd.DataFrame) -> str:
    aligned, alone = (
        _series(sweeps, "number_of_heads", arm, "fraction", column="circuit_accuracy")
        for arm in (PROPOSED, "circuit_ce")
    )
    return f"circuits by share of heads: CE + Align CKA {aligned}; CE alone {alone}"


EVIDENCE: dict[str, Evidence] = {
    "align_beats_ce": _by_weight,
    "align_beats_ce_circuit": _circuit_by_weight,
    "align_beats_full_ce": _by_heads,
    "random_pairs_harm": _random_by_weight,
    "align_beats_random_pairs": _random_by_weight,
    "align_alone_keeps_base": _by_rate,
    "gains_in_circuit": _circuit_by_heads,
    "faster_at_half": _loss_by_weight,
    "lower_final_ce": _loss_by_weight,
    "few_heads_suffice": _by_heads,
}
