"""A folder for unfinished work as a Kedro dataset."""

from __future__ import annotations

import pytest
from kedro.io.core import DatasetError

from circuit_distillation.datasets.scratch import ScratchFolderDataset


def test_it_is_a_path_that_is_never_missing_and_cannot_be_saved(tmp_path) -> None:
    dataset = ScratchFolderDataset(str(tmp_path / "small.full_ce.unfinished"), metadata={"layer": "models"})
    assert dataset.exists() and dataset.load() == tmp_path / "small.full_ce.unfinished"
    assert not dataset.load().exists() and "unfinished" in str(dataset)
    with pytest.raises(DatasetError, match="not an output"):
        dataset.save("anything")
