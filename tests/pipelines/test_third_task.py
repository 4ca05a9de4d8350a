"""A task that the paper does not have runs through every pipeline and stands in the report."""

from __future__ import annotations

import pandas as pd
import pytest

from circuit_distillation.tasks.splits import SPLITS


def test_its_data_are_made_like_any_task_s(tmp_path, run_kedro):
    run_kedro(tmp_path, ["data_generation"], task="sally")
    stored = tmp_path / "03_primary/mini/seed0/sally"
    for split in SPLITS:
        assert set(pd.read_parquet(stored / f"{split}.parquet")["cell"]) == {"away", "present", "mover"}


@pytest.mark.slow
def test_it_runs_through_every_pipeline(tmp_path, run_kedro):
    run_kedro(tmp_path, task="sally")
    reporting = tmp_path / "08_reporting/mini"
    results = pd.read_parquet(reporting / "results.parquet")
    assert set(results["task"]) == {"sally"}
    assert {"full_ce", "circuit_ce_align_cka", "base", "tuned"} <= set(results["arm"])
    page = (reporting / "report.html").read_text()
    assert "False belief" in page
    table = pd.read_csv(reporting / "table5.csv", keep_default_na=False)
    rows = table[(table["model"] == "Base-S") & (table["loss"] == "CE + Align CKA")]
    assert rows["block"].tolist() == ["False belief: Circuit Distilled"]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    run_kedro(tmp_path, only_missing_outputs=True, task="sally")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == before
