"""What docs/replication.md says is what its tables hold, and its claims follow from the outcomes alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from circuit_distillation.study.document import render_replication
from circuit_distillation.study.verdicts import claims_table

DOCS = Path(__file__).parents[2] / "docs"
FAMILIES = sorted(path.name for path in (DOCS / "replication").glob("*") if path.is_dir())


def table(family: str, name: str) -> pd.DataFrame:
    """A published table; empty where the study goes without it."""
    path = DOCS / "replication" / family / name
    if not path.exists():
        return pd.DataFrame()
    return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_document_is_made_of_its_tables(family):
    names = ("claims", "accuracies", "pairs", "transfer", "search", "sweeps")
    tables = {name: table(family, f"{name}.csv") for name in names} | {
        "shared": table(family, "search_shared.csv"),
        "training": table(family, "training.parquet"),
    }
    assert render_replication(family, **tables) == (DOCS / "replication.md").read_text()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_claims_come_back_from_the_outcomes_alone(family):
    again = claims_table(
        table(family, "outcomes.parquet"), table(family, "training.parquet"), table(family, "heads.csv")
    )
    published = table(family, "claims.csv")
    pd.testing.assert_frame_equal(published, again[published.columns], check_dtype=False)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_cell_of_the_study_has_at_least_nine_runs(family):
    accuracies = table(family, "accuracies.csv")
    students = accuracies[
        accuracies["arm"].str.contains("circuit_|full_") & (accuracies["metric"] == "full_accuracy")
    ]
    assert len(students) == 2 * 2 * 5 and (students["runs"] >= 9).all()
