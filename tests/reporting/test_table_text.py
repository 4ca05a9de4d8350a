from __future__ import annotations

from io import StringIO

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import LABELS, predictions

from circuit_distillation.reporting.results import result_rows
from circuit_distillation.reporting.table_text import cell_text, latex_escape, to_latex, to_markdown
from circuit_distillation.reporting.tables import build_table

KEY = dict(task="tom", seed=0, experiment="paper", model="small", arm="base")
TABLE = build_table(result_rows(predictions("tom"), **KEY), 4, LABELS)


def test_csv_reads_back_as_it_was() -> None:
    back = pd.read_csv(StringIO(TABLE.to_csv(index=False)), keep_default_na=False, na_values=[""])
    assert list(back.columns) == list(TABLE.columns)
    assert back["n_test"].dropna().tolist() == [72]
    assert ",72,1," in TABLE.to_csv(index=False).splitlines()[1]
    assert float(back["full_model"].iloc[0]) == TABLE["full_model"].iloc[0]
    assert back["full_model"].tolist()[3] == "n/a"


def test_markdown_has_a_line_a_row_and_as_many_cells() -> None:
    text = to_markdown(TABLE, "Table 4: a | b")
    lines = text.splitlines()
    assert lines[0] == r"**Table 4: a \| b**"
    assert len(lines) == 4 + len(TABLE)
    assert {line.count("|") for line in lines[2:]} == {len(TABLE.columns) + 1}
    assert "| 0.55 | 0.54 |" in lines[4]


def test_latex_escapes_and_prints_a_block_once() -> None:
    text = to_latex(TABLE, "Tables of 100 % & more", "tab:tom")
    assert r"\caption{Tables of 100 \% \& more}" in text
    assert r"\label{tab:tom}" in text
    assert text.count("Baselines") == 1 and text.count(r"\midrule") == 3
    assert text.count(r" \\") == len(TABLE) + 1
    body = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert {line.count(" & ") for line in body} == {len(TABLE.columns) - 1}
    assert r"Heads, \%" in text


@given(st.text(max_size=30))
def test_no_command_character_survives_the_escape(text: str) -> None:
    rest = latex_escape(text)
    for name in ("textbackslash", "textasciitilde", "textasciicircum"):
        rest = rest.replace(f"\\{name}{{}}", "")
    for sign in "&%$#_{}":
        rest = rest.replace(f"\\{sign}", "")
    assert not set(rest) & set("\\&%$#_{}~^")


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("full_model", 0.12345, "0.123"),
        ("paper_circuit", 0.7, "0.70"),
        ("seeds", 3.0, "3"),
        ("pct_heads", 12.5, "12.5"),
        ("circuit", None, ""),
        ("circuit", float("nan"), ""),
        ("circuit", "n/a", "n/a"),
    ],
)
def test_cells_are_rounded_for_people(column: str, value, text: str) -> None:
    assert cell_text(column, value) == text
