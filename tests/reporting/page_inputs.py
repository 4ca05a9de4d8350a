"""What `render_page` takes, made of synthetic predictions of two tasks and two seeds."""

from __future__ import annotations

import pandas as pd
from synthetic import LABELS, predictions, run_inputs

from circuit_distillation.reporting.facts import run_facts
from circuit_distillation.reporting.figures import run_figures
from circuit_distillation.reporting.results import result_rows
from circuit_distillation.reporting.significance import significance_table

ACCURACY = {"base": 0.5, "circuit_ce": 0.6, "full_ce": 0.7, "circuit_ce_align_cka": 0.9}
OVERLAP = {"redraws": 0.948, "redraws_low": 0.882, "redraws_high": 1.0, "limits": 0.667}
GROUPS = {
    "Stability of circuits": {"large.tuned": OVERLAP, "small.base": OVERLAP | {"between_templates": 0.834}},
    "Parameters": {"name": "<b>bold</b> & more"},
    "Base models": {"roles": {"small": {"seconds": 60.0}, "medium": {"seconds": 40.5}}},
    "Training seconds": {"small.circuit_ce": 12.5},
    "Costs of circuit discovery": {
        "small.base": {"seconds": 4.0, "forward_equivalents": 30.0, "naive_forward_equivalents": 900.0}
    },
}
CLAIM = {
    "task": "tom", "claim": "align_beats_ce", "statement": "A < B", "unit": "run", "n": 9, "value": -0.02,
    "low": -0.03, "high": 0.01, "p_holm": 0.043, "paper": 0.04, "verdict": "does not hold",
}  # fmt: skip


def page_inputs() -> dict:
    """Arguments of `render_page`."""
    results, tests, figures, facts = [], [], {}, []
    for task in ("entity", "tom"):
        run = dict(task=task, seed=0, experiment="paper")
        stored = {
            f"{role}.{arm}": predictions(task, accuracy, k, n_groups=60)
            for role in ("small", "medium")
            for k, (arm, accuracy) in enumerate(ACCURACY.items())
        }
        for name, frame in stored.items():
            role, arm = name.split(".")
            results.append(result_rows(frame, **run, model=role, arm=arm))
        tests.append(significance_table(stored, **run))
        drawn = run_inputs()
        figures |= run_figures(**run, labels=LABELS, **drawn)
        facts.append(run_facts(**run, mappings=drawn["mappings"], groups=GROUPS))
    figures |= run_figures(task="tom", seed=1, experiment="paper", labels=LABELS, **run_inputs())
    return dict(
        family="mini",
        labels=LABELS,
        results=pd.concat(results, ignore_index=True),
        significance=pd.concat(tests, ignore_index=True),
        figures=figures,
        facts=pd.concat(facts, ignore_index=True),
    )
