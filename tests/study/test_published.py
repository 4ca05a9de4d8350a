"""The published pages show what their tables hold, and the claims follow from the outcomes alone."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from circuit_distillation.study.document import BLOCK, refresh, render_tables
from circuit_distillation.study.regime_claims import judge
from circuit_distillation.study.regime_tables import corners, document
from circuit_distillation.study.tables import study_tables
from circuit_distillation.study.verdicts import claims_table

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "replication.md").read_text()
SECTIONS = [section for section in re.split(r"^(?=##+ )", PAGE, flags=re.MULTILINE) if BLOCK.search(section)]
FIGURE = re.compile(r"[+−]?\d+(?:\.\d+)?")
NAMES = re.compile(r"`[^`]*`|\]\([^)]*\)|Llama-3|(?:Figure|equation) \d")  # no figures, though with digits


def table(name: str) -> pd.DataFrame:
    path = DOCS / "replication/mini" / name
    return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)


def figures_without_table(section: str) -> set[str]:
    """Figures of the prose that stand in no table of the section. Prose may leave out signs: "behind by"."""
    signed = {figure for match in BLOCK.finditer(section) for figure in FIGURE.findall(match[0])}
    prose = NAMES.sub("", BLOCK.sub("", section))
    return set(FIGURE.findall(prose)) - signed - {figure.strip("+−") for figure in signed} - {"0"}


def test_the_tables_of_the_page_are_those_of_the_stored_results():
    names = ("claims", "accuracies", "pairs", "transfer", "search", "sweeps")
    stored = {name: table(f"{name}.csv") for name in names}
    stored |= {"shared": table("search_shared.csv"), "training": table("training.parquet")}
    assert refresh(PAGE, render_tables("mini", study_tables(**stored))) == PAGE


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.splitlines()[0].strip("# "))
def test_each_figure_of_the_prose_stands_in_a_table_beside_it(section):
    assert figures_without_table(section) == set()


def test_a_figure_that_no_table_has_is_found():
    section = "It gains 0.123, or +0.5, of 0.5 (`a-7.md`).\n\n<!-- table: t -->\n| −0.5 |\n<!-- end -->\n"
    assert figures_without_table(section) == {"0.123", "+0.5"}


def test_the_claims_come_back_from_the_outcomes_alone():
    again = claims_table(table("outcomes.parquet"), table("training.parquet"), table("heads.csv"))
    published = table("claims.csv")
    pd.testing.assert_frame_equal(published, again[published.columns], check_dtype=False)


def test_every_cell_of_the_study_has_at_least_nine_runs():
    accuracies = table("accuracies.csv")
    students = accuracies[
        accuracies["arm"].str.contains("circuit_|full_") & (accuracies["metric"] == "full_accuracy")
    ]
    assert len(students) == 2 * 2 * 5 and (students["runs"] >= 9).all()


def regimes(name: str) -> pd.DataFrame:
    return pd.read_csv(DOCS / "regimes/mini" / f"{name}.csv")


def test_the_claims_of_the_regimes_come_back_from_the_accuracies_alone():
    accuracies, published = regimes("accuracies"), regimes("claims")
    again = pd.concat([judge(accuracies, task) for task in ("entity", "tom")], ignore_index=True)
    pd.testing.assert_frame_equal(published, again[published.columns], check_dtype=False)
    pd.testing.assert_frame_equal(regimes("corners"), corners(accuracies), check_dtype=False)


def test_the_tables_of_the_findings_are_those_of_the_stored_results():
    page = (DOCS / "findings.md").read_text()
    tables = document(regimes("accuracies"), regimes("claims"), regimes("recall"))
    assert BLOCK.search(page) and refresh(page, tables) == page
