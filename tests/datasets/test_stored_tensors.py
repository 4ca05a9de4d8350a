"""Tensors by name as a Kedro dataset."""

from __future__ import annotations

import pytest
import torch
from kedro.io.core import DatasetError

from circuit_distillation.datasets.stored_tensors import TensorsDataset


def test_tensors_come_back_as_they_were(tmp_path) -> None:
    dataset = TensorsDataset(str(tmp_path / "deep" / "profiles.safetensors"))
    assert not dataset.exists()
    stored = {"both_see": torch.rand(2, 3, 4, 4), "neither": torch.rand(2, 3, 5, 5)}
    dataset.save(stored)
    found = dataset.load()
    assert dataset.exists() and found.keys() == stored.keys()
    assert all(torch.equal(found[name], rows) for name, rows in stored.items())


def test_a_broken_file_is_named(tmp_path) -> None:
    path = tmp_path / "profiles.safetensors"
    dataset = TensorsDataset(str(path))
    dataset.save({"both_see": torch.ones(3)})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises((DatasetError, ValueError, RuntimeError), match="profiles.safetensors"):
        dataset.load()
