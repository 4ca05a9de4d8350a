"""Datasets that a run can do without."""

from __future__ import annotations

import pandas as pd

from circuit_distillation.datasets.optional import OptionalCSVDataset, OptionalPartitionsDataset


def test_a_table_is_empty_until_another_pipeline_makes_it(tmp_path):
    dataset = OptionalCSVDataset(filepath=str(tmp_path / "search.csv"))
    assert dataset.exists() and dataset.load().empty
    pd.DataFrame({"a": [1]}).to_csv(tmp_path / "search.csv", index=False)
    assert dataset.load()["a"].tolist() == [1]


def test_files_of_many_runs_may_be_none(tmp_path):
    kind = {"type": "circuit_distillation.datasets.files.ParquetDataset"}
    options = {"path": str(tmp_path / "runs"), "dataset": kind, "filename_suffix": ".x.parquet"}
    dataset = OptionalPartitionsDataset(**options)
    assert dataset.exists() and dataset.load() == {}
    (tmp_path / "runs/seed0").mkdir(parents=True)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "runs/seed0/small.x.parquet")
    assert {name: load()["a"].tolist() for name, load in dataset.load().items()} == {"seed0/small": [1]}
