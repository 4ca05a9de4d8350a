"""Matching rules against the truth over families: how many student heads a rule maps onto their ancestor."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pandas as pd

from circuit_distillation.study.regime_claims import family_test

_RUN = re.compile(r"seed(?P<seed>\d+)/(?P<task>[^/]+)/[^/]+/(?P<role>[^/]+)$")
PAPER, FUNCTION = "nearest", "attention_profile"  # the rules of the declared comparison


def gather(stored: Mapping[str, Callable[[], pd.DataFrame]]) -> pd.DataFrame:
    """Rows of `mapping.score.score_rules` of all runs, with task, seed and role from their names.

    stored: "seed0/entity/paper/small" -> a function that reads it.
    """
    frames = [load().assign(**_run(name)) for name, load in sorted(stored.items())]
    if not frames:
        raise ValueError("no rules are scored: make the runs with `make regimes`")
    return pd.concat(frames, ignore_index=True)


def recall(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean share of heads mapped onto their ancestor for every task and rule, with its 95 % interval.

    A family's share is the mean over its students. A rule that does not apply to a student counts as none
    found. Columns: task, rule, label, recall, low, high, chance, families; and p, of the paired t-test over
    families against the rule of the paper (NaN for that rule itself).
    """
    known = scores[scores["chance_ancestor"].notna()].fillna({"ancestor_share": 0.0})
    key = ["task", "rule", "label", "seed"]
    families = known.groupby(key, sort=False)[["ancestor_share", "chance_ancestor"]].mean().reset_index()
    rows = []
    for (task, rule), own in families.groupby(["task", "rule"], sort=False):
        paper = families[(families["task"] == task) & (families["rule"] == PAPER)]
        low, high, _, _ = family_test(own["ancestor_share"].to_numpy())
        gain = own.set_index("seed")["ancestor_share"] - paper.set_index("seed")["ancestor_share"]
        rows.append(
            {
                "task": task,
                "rule": rule,
                "label": own["label"].iloc[0],
                "recall": own["ancestor_share"].mean(),
                "low": low,
                "high": high,
                "chance": own["chance_ancestor"].mean(),
                "families": len(own),
                "p": float("nan") if rule == PAPER else family_test(gain.dropna().to_numpy())[2],
            }
        )
    return pd.DataFrame(rows)


def _run(name: str) -> dict[str, object]:
    found = _RUN.search(name)
    if found is None:
        raise ValueError(f"{name!r} does not end in seed, task, experiment and role: is it of another run?")
    return {"seed": int(found["seed"]), "task": found["task"], "role": found["role"]}
