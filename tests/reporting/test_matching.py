"""The table of matching rules."""

from __future__ import annotations

import pandas as pd
from page_inputs import page_inputs

from circuit_distillation.mapping.match import RULES
from circuit_distillation.reporting.matching import CAPTION, matching_table
from circuit_distillation.reporting.page import render_page
from circuit_distillation.reporting.table_text import to_markdown

LABELS = {"small": "S", "medium": "M", "large": "L"}


def row(seed: int, rule: str, share: float | None, **more) -> dict:
    values = {"n_heads": 4, "n_pairs": 4, "ancestor_share": share, "chance_ancestor": 0.25}
    values |= {"stage_share": float("nan"), "chance_stage": float("nan"), "error": ""}
    run = {"task": "tom", "seed": seed, "experiment": "paper", "student": "small"}
    return run | {"rule": rule, "label": RULES[rule].label} | values | more


ROWS = pd.DataFrame(
    [
        row(0, "nearest", 0.25),
        row(0, "attention_profile", 1.0, n_pairs=3),
        row(1, "attention_profile", 0.5),
        row(0, "role", None, n_pairs=0, error="no stages"),
        row(0, "nearest", 0.0, experiment="other"),
    ]
)


def test_the_table_holds_means_over_seeds_in_the_order_of_the_rules() -> None:
    table = matching_table(ROWS, LABELS, "paper")
    assert table["rule"].tolist() == ["nearest impact (eq. 5)", "nearest attention profile"]
    assert table["ancestor_share"].tolist() == [0.25, 0.75]
    assert table["n_pairs"].tolist() == [4.0, 3.5] and table["seeds"].tolist() == [1, 2]
    assert table["stage_share"].isna().all() and set(table["student"]) == {"S"}
    assert matching_table(ROWS, LABELS, "absent").empty


def test_as_markdown() -> None:
    lines = to_markdown(matching_table(ROWS, LABELS, "paper"), CAPTION).splitlines()
    assert lines[0] == f"**{CAPTION}**"
    assert lines[-1].endswith("| S | nearest attention profile | 4.0 | 3.5 | 0.750 | 0.250 |  |  | 2 |")


def test_the_page_shows_the_table_where_there_are_scores() -> None:
    inputs = page_inputs()
    assert 'id="matching"' not in render_page(**inputs)
    html = render_page(**inputs, rule_scores=ROWS)
    assert 'href="#matching"' in html and "nearest attention profile" in html and ">0.750<" in html
