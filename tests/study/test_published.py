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
STUDIES = {
    "replication.md": "mini",
    "replication_independent.md": "independent",
}  # page -> folder of its data
PAGES = {page: (DOCS / page).read_text() for page in STUDIES}
SECTIONS = [
    section
    for text in PAGES.values()
    for section in re.split(r"^(?=##+ )", text, flags=re.MULTILINE)
    if BLOCK.search(section)
]
FIGURE = re.compile(r"[+−]?\d+(?:\.\d+)?")
NAMES = re.compile(r"`[^`]*`|\]\([^)]*\)|Llama-3|(?:Figure|equation) \d")  # no figures, though with digits


def table(folder: str, name: str) -> pd.DataFrame:
    """Empty for what a study may do without."""
    path = DOCS / "replication" / folder / name
    if not path.exists() and name in ("sweeps.csv", "transfer.csv"):
        return pd.DataFrame()
    return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)


def figures_without_table(section: str) -> set[str]:
    """Figures of the prose that stand in no table of the section. Prose may leave out signs: "behind by"."""
    signed = {figure for match in BLOCK.finditer(section) for figure in FIGURE.findall(match[0])}
    prose = NAMES.sub("", BLOCK.sub("", section))
    return set(FIGURE.findall(prose)) - signed - {figure.strip("+−") for figure in signed} - {"0"}


@pytest.mark.parametrize("page", STUDIES)
def test_the_tables_of_the_page_are_those_of_the_stored_results(page: str):
    folder = STUDIES[page]
    names = ("claims", "accuracies", "pairs", "transfer", "search", "sweeps")
    stored = {name: table(folder, f"{name}.csv") for name in names}
    stored |= {"shared": table(folder, "search_shared.csv"), "training": table(folder, "training.parquet")}
    assert refresh(PAGES[page], render_tables("mini", study_tables(**stored))) == PAGES[page]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.splitlines()[0].strip("# "))
def test_each_figure_of_the_prose_stands_in_a_table_beside_it(section):
    assert figures_without_table(section) == set()


def test_a_figure_that_no_table_has_is_found():
    section = "It gains 0.123, or +0.5, of 0.5 (`a-7.md`).\n\n<!-- table: t -->\n| −0.5 |\n<!-- end -->\n"
    assert figures_without_table(section) == {"0.123", "+0.5"}


@pytest.mark.parametrize("folder", STUDIES.values())
def test_the_claims_come_back_from_the_outcomes_alone(folder: str):
    tables = (table(folder, name) for name in ("outcomes.parquet", "training.parquet", "heads.csv"))
    again, published = claims_table(*tables), table(folder, "claims.csv")
    pd.testing.assert_frame_equal(published, again[published.columns], check_dtype=False)


@pytest.mark.parametrize("folder", STUDIES.values())
def test_every_cell_of_the_study_has_at_least_nine_runs(folder: str):
    accuracies = table(folder, "accuracies.csv")
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
