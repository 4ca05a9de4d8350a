"""The tables that docs/replication.md shows, made from the stored tables of a study."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from circuit_distillation.reporting.answer import TASK_NAMES
from circuit_distillation.study.claims import ALPHA, POWER, RUN_CLAIMS, SMALLEST

ARMS = {
    "base": "Base",
    "full_ce": "CE, all weights",
    "circuit_ce": "CE",
    "circuit_align_cka": "Align CKA",
    "circuit_ce_rand_cka": "CE + Rand CKA",
    "circuit_ce_align_cka": "CE + Align CKA",
    "tuned": "Tuned (the teacher, if L)",
    "random_heads_ce_align_cka": "CE + Align CKA, random heads trained",
}
ROLES = {"tiny": "XS", "small": "S", "medium": "M", "big": "B", "large": "L"}
_NAMES = {"task": TASK_NAMES, "model": ROLES, "role": ROLES, "student": ROLES, "arm": ARMS}
_SCORES = {
    "full_accuracy": "full model",
    "circuit_accuracy": "circuit",
    "random_circuit_accuracy": "random circuit",
}
_CELLS = {
    "full_accuracy.own": "own",
    "full_accuracy.seen": "seen",
    "full_accuracy.unseen": "unseen",
    "balanced_full_accuracy": "balanced",
    "full_invalid": "invalid answers",
}
_TRIVIAL = {
    "majority_answer_accuracy": "the most frequent answer",
    "majority_answer_balanced": "the most frequent answer, balanced",
    "read_container_accuracy": "what the container holds",
    "read_container_balanced": "what the container holds, balanced",
}
_TRANSFER = {
    "cka_mapped": "CKA, mapped",
    "cka_weighted": "weighted",
    "cka_random": "random",
    "cka_mapped_novel": "mapped, novel",
    "cka_random_novel": "random, novel",
    "agreement": "teacher's answer",
    "interchange": "after exchange",
    "moved": "teacher moved",
    "interchange_moved": "there",
    "interchange_control": "there, other heads",
    "held_out_accuracy": "right",
    "familiar_accuracy": "familiar, right",
    "familiar_ce": "familiar, CE",
    "trained_in_circuit": "mapped heads in its circuit",
    "same_as_base": "circuit as the base's",
}
_TRIALS = {
    "changes": "settings",
    "full_accuracy": "validation, full",
    "circuit_accuracy": "validation, circuit",
    "ce": "CE",
    "similarity": "similarity",
}


def study_tables(
    claims: pd.DataFrame,
    accuracies: pd.DataFrame,
    pairs: pd.DataFrame,
    training: pd.DataFrame,
    transfer: pd.DataFrame,
    search: pd.DataFrame,
    shared: pd.DataFrame,
    sweeps: pd.DataFrame,
) -> dict[str, pd.DataFrame]:
    """Every table by name. Tables of trials are there only where `search`, `shared` or `sweeps` have rows."""
    tables = {"design": _design(claims), "verdicts": _verdicts(claims)}
    for task in TASK_NAMES:
        own, scores = claims[claims["task"] == task], accuracies[accuracies["task"] == task]
        if len(own):
            tables[f"claims_{task}"] = _run_claims(own[own["unit"] == "run"])
            tables[f"model_claims_{task}"] = _model_claims(own[own["unit"] == "family"])
            tables[f"accuracies_{task}"] = _scores(scores, _SCORES)
    of_tom = accuracies[accuracies["task"] == "tom"]
    tables |= {"cells": _scores(of_tom, _CELLS), "trivial_answers": _trivial(of_tom)}
    tables |= {"alignment": _alignment(training), "mapping": _mapping(pairs)}
    if len(transfer):
        means = _named(transfer).groupby(["task", "role", "arm"], observed=True)[list(_TRANSFER)].mean()
        tables["transfer"] = means.rename(columns=_TRANSFER).reset_index()
    chosen = {"chosen": "chosen"}
    if len(search):
        tables["search"] = _trials(search, {"arm": "arm", **_TRIALS, **chosen})
    if len(shared):
        tables["search_shared"] = _trials(shared, _TRIALS | chosen)
    if len(sweeps):
        tables |= {"best_of_sweeps": _best(sweeps), **_sweeps(sweeps)}
    return tables


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown: numbers with three decimals, nothing where there is no value."""
    rows = [list(table), [":---"] * table.shape[1], *table.astype(object).map(_text).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _design(claims: pd.DataFrame) -> pd.DataFrame:
    """How the claims are judged, in figures."""
    runs = int(claims.loc[claims["unit"] == "run", "n"].min())
    facts = {
        "families of models": str(int(claims.loc[claims["unit"] == "family", "n"].max())),
        "runs a task (families × training seeds)": str(runs),
        "claims, over both tasks": str(len(claims)),
        "claims about runs, a task (Holm corrects over these)": str(len(RUN_CLAIMS)),
        "smallest p that the sign-flip test can give": f"{2 / 2**runs:.4f}",
        "level of every test": str(ALPHA),
        "power of what a study could see": str(POWER),
        "smallest gain in accuracy of interest": str(SMALLEST),
    }
    return pd.DataFrame(facts.items(), columns=["what", "figure"])


def _text(value: float | str | None) -> str:
    if isinstance(value, str):
        return value.replace("|", "\\|")
    if isinstance(value, bool):
        return "yes" if value else ""
    if value is None or value is pd.NA or math.isnan(value):
        return ""
    if isinstance(value, int):
        return str(value)
    return "nothing" if math.isinf(value) else _decimals(value)


def _decimals(value: float | None, form: str = ".3f") -> str:
    return "" if pd.isna(value) else format(value, form).replace("-", "−")


def _signed(values: pd.Series) -> pd.Series:
    return values.map(lambda value: _decimals(value, "+.3f"))


def _interval(low: pd.Series, high: pd.Series) -> pd.Series:
    return (_signed(low) + " to " + _signed(high)).where(low.notna(), "")


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """With names for people instead of keys; grouping then sorts as the paper's tables do."""
    columns = {name: labels for name, labels in _NAMES.items() if name in table}
    return table.assign(
        **{
            name: pd.Categorical(table[name].map(labels), list(labels.values()), ordered=True)
            for name, labels in columns.items()
        }
    )


def _verdicts(claims: pd.DataFrame) -> pd.DataFrame:
    return pd.crosstab(_named(claims)["task"], claims["verdict"]).reset_index()


def _claim_names(claims: pd.DataFrame) -> pd.Series:
    return claims["statement"] + " (`" + claims["claim"] + "`)"


def _run_claims(claims: pd.DataFrame) -> pd.DataFrame:
    counts = claims[[f"mcnemar_{name}" for name in ("better", "worse", "tests")]].dropna().astype(int)
    return pd.DataFrame(
        {
            "claim": _claim_names(claims),
            "paper": _signed(claims["paper"]),
            "here": _signed(claims["value"]),
            "95 %": _interval(claims["low"], claims["high"]),
            "scenes alone": _interval(claims["scene_low"], claims["scene_high"]),
            **{name: _signed(claims[role]) for role, name in ROLES.items() if role in claims},
            "p, Holm": claims["p_holm"].map("{:.4f}".format),
            "could see": claims["detectable"],
            "McNemar better / worse / of": counts.astype(str).agg(" / ".join, axis=1),
            "verdict": "**" + claims["verdict"] + "**",
        }
    )


def _model_claims(claims: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "claim": _claim_names(claims),
            "paper": claims["paper"],
            "here": claims["value"],
            "95 %": _interval(claims["low"], claims["high"]),
            "holds from": claims["threshold"],
            "verdict": "**" + claims["verdict"] + "**",
        }
    )


def _scores(accuracies: pd.DataFrame, metrics: Mapping[str, str]) -> pd.DataFrame:
    """Mean ± standard deviation of some metrics, a row a model."""
    own = _named(accuracies[accuracies["metric"].isin(metrics) & accuracies["arm"].isin(ARMS)])
    spread = (" ± " + own["sd"].map(_decimals)).where(own["sd"].notna(), "")
    shown = own.assign(text=own["mean"].map(_decimals) + spread).set_index(["model", "arm", "metric"])
    wide = shown["text"].unstack("metric").reindex(columns=list(metrics)).rename(columns=metrics)
    wide["runs"] = shown["runs"].groupby(level=["model", "arm"], observed=True).max()
    return wide.reset_index().sort_values(["model", "arm"])


def _trivial(accuracies: pd.DataFrame) -> pd.DataFrame:
    means = accuracies.groupby("metric")["mean"].mean().reindex(list(_TRIVIAL)).rename(_TRIVIAL)
    return means.rename_axis("always answering").rename("accuracy").reset_index()


def _alignment(training: pd.DataFrame) -> pd.DataFrame:
    keys = ["task", "role", "arm"]
    aligned = _named(training[training["similarity"].notna()].sort_values("step"))
    runs = aligned.groupby([*keys, "seed", "training_seed"], sort=False, observed=True)
    ends = (rows.groupby(keys, observed=True) for rows in (runs.head(1), runs.tail(1)))
    first, last = (rows["similarity"].mean() for rows in ends)
    floor = aligned.groupby(keys, observed=True)["noise_floor"].mean()
    columns = {"similarity, first step": first, "similarity, last step": last, "noise floor": floor}
    return pd.DataFrame(columns).reset_index()


def _mapping(pairs: pd.DataFrame) -> pd.DataFrame:
    counts = _named(pairs).groupby(["task", "student", "seed"], observed=True)["teacher_head"]
    means = counts.agg(["size", "nunique"]).groupby(["task", "student"], observed=True).mean()
    shown = means.map(_decimals, form=".1f")
    return shown.set_axis(["student heads", "distinct teacher heads"], axis=1).reset_index()


def _trials(trials: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    shown = _named(trials).assign(changes="`" + trials["changes"] + "`")
    return shown[["task", *columns]].rename(columns=columns)


def _best(sweeps: pd.DataFrame) -> pd.DataFrame:
    """How many settings the sweeps gave each arm, and the best of them."""
    means = sweeps.groupby(["task", "arm", "changes"])["full_accuracy"].mean().reset_index()
    best = means.sort_values("full_accuracy", kind="stable").groupby(["task", "arm"]).tail(1)
    best = best.assign(tried=means.groupby(["task", "arm"])["changes"].transform("size"))
    columns = {"arm": "arm", "tried": "settings tried", "changes": "the best", "full_accuracy": "accuracy"}
    return _trials(best, columns).sort_values(["task", "arm"])


def _sweeps(sweeps: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """A table for each sweep: trials in the declared order, means over the students."""
    more = {"noise_floor": "noise floor", "distinct_teacher_heads": "distinct teacher heads"}
    columns = {"arm": "arm", **_TRIALS, **more}
    numbers = [name for name in columns if name not in ("arm", "changes")]
    means = sweeps.groupby(["sweep", "task", "arm", "changes"], sort=False)[numbers].mean().reset_index()
    means = means.assign(distinct_teacher_heads=means["distinct_teacher_heads"].map("{:.1f}".format))
    return {f"sweep_{name}": _trials(own, columns) for name, own in means.groupby("sweep", sort=False)}
