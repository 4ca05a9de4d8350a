from __future__ import annotations

import re

import pandas as pd
from page_inputs import CLAIM

from circuit_distillation.reporting.gains import gains_svg, study_rows, study_svg

ROWS = [
    {"group": "Entity tracking", "label": "Base-S", "value": 0.1, "low": None, "high": None,
     "verdict": "better", "paper": None},
    {"group": "Theory of mind", "label": "Base-M, a label that is far too long for a single line of it",
     "value": -0.2, "low": -0.3, "high": -0.1, "verdict": "undecided", "paper": 0.05},
]  # fmt: skip


def test_every_row_has_its_verdict_and_the_papers_value() -> None:
    svg = gains_svg(ROWS, name="x", title="T", description="D")
    tips = re.findall(r'<g class="head"><title>([^<]*)</title>', svg)
    assert tips[0] == "Entity tracking, Base-S: +0.100, better"
    assert tips[1].startswith("Theory of mind, Base-M, a label")
    assert tips[1].endswith("of it: -0.200, undecided; in the paper +0.05")


def test_long_labels_take_two_lines_and_groups_are_named() -> None:
    svg = gains_svg(ROWS, name="x", title="T", description="D")
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"Entity tracking", "Theory of mind", "better", "undecided", "the paper"} <= set(texts)
    assert "Base-M, a label that is far too long for a" in texts and "single line of it" in texts


def test_only_differences_of_accuracy_over_runs_are_drawn() -> None:
    other = [CLAIM | {"claim": "less_time"}, CLAIM | {"unit": "family"}, CLAIM | {"paper": float("nan")}]
    rows = study_rows(pd.DataFrame([CLAIM, *other]))
    assert [row["paper"] for row in rows] == [0.04, None]
    assert rows[0]["group"] == "Theory of mind" and rows[0]["label"] == "A < B"
    assert study_svg(pd.DataFrame(other[:2])) == ""
