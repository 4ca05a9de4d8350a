"""Prompts of a split are examples in memory and a table on disk."""

from __future__ import annotations

import pandas as pd
import pytest
from kedro.io.core import DatasetError

from circuit_distillation.datasets.examples import ExamplesDataset
from circuit_distillation.tasks import get_task


def test_examples_are_a_table_on_disk_and_come_back_as_they_were(tmp_path):
    examples, path = get_task("entity").generate(2, 0), tmp_path / "test.parquet"
    dataset = ExamplesDataset(filepath=str(path))
    dataset.save(examples)
    assert dataset.load() == examples
    assert list(pd.read_parquet(path)["prompt"]) == [example.prompt for example in examples]
    assert len(dataset.preview(3)["data"]) == 3


def test_a_table_of_something_else_is_refused(tmp_path):
    path = tmp_path / "test.parquet"
    pd.DataFrame({"prompt": ["p"]}).to_parquet(path)
    with pytest.raises(DatasetError, match="column example_id"):
        ExamplesDataset(filepath=str(path)).load()
