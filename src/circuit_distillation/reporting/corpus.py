"""Was the tuning corpus learned? Held-out exact matches of every tuned model beside guessing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from circuit_distillation.arms import row_name
from circuit_distillation.grid import ROLES, TEACHER
from circuit_distillation.tasks.task import TASKS

TUNED_MODELS = "Tuned models"  # the group of facts that holds the record of the tuning
HELD_OUT = {"unseen_prompts": "known problem, new wording", "unseen_problems": "new problem"}
# Name in the record -> (role, arm); the teacher first.
_MODELS = {TEACHER: (TEACHER, "tuned"), "corpus_only": (TEACHER, "tuned_corpus")}
_MODELS |= {role: (role, "tuned") for role in reversed(ROLES) if role != TEACHER}
_METRICS = {
    "exact": "corpus_exact",
    "guess": "corpus_guess",
    "token": "corpus_token_accuracy",
    "n": "corpus_n",
}


def corpus_rows(
    facts: pd.DataFrame, labels: Mapping[str, str], shares: Mapping[str, float]
) -> list[dict[str, Any]]:
    """A row for each tuned model and sort of held-out items; means over seeds.

    exact: greedy answers that match to the last token; guess: the most frequent answer of each kind of item;
    token: accuracy a token, given the right text before it. share: of the task's own prompts in the mixture.
    """
    tuned = facts[facts["group"] == TUNED_MODELS].drop_duplicates(["task", "seed", "name"])
    values = tuned.set_index(["task", "name"])["value"]
    rows = []
    for task in TASKS:
        for model, (role, arm) in _MODELS.items():
            for sort, held_out in HELD_OUT.items():
                path = f"models.{model}.corpus.{sort}"
                if (task, f"{path}.corpus_exact") not in values.index:
                    continue
                means = {name: _mean(values, task, f"{path}.{metric}") for name, metric in _METRICS.items()}
                share = 0.0 if arm == "tuned_corpus" else shares.get(task)
                name = row_name(task, role, arm, labels).model
                rows.append({"task": task, "model": name, "held_out": held_out, "share": share, **means})
    return rows


def _mean(values: pd.Series, task: str, name: str) -> float | None:
    """The mean over seeds; None for what an older record does not hold."""
    if (task, name) not in values.index:
        return None
    return float(pd.to_numeric(values.loc[[(task, name)]]).mean())
