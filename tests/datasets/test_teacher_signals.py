"""A teacher's signals as a Kedro dataset."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
from kedro.io.core import DatasetError

from circuit_distillation.datasets.teacher_signals import TeacherSignalsDataset
from circuit_distillation.training.teacher_cache import TeacherSignals

FILES = [".signals.safetensors.sha256", "signals.safetensors"]
SIGNALS = TeacherSignals(
    labels=torch.tensor([3, 1, 4]),
    logits=torch.arange(12.0).view(3, 4),
    features={(2, 1): torch.arange(6.0).view(3, 1, 2), (0, None): torch.ones(3, 1, 5)},
    rows="last",
    teacher_hash="ab12",
    data_hash="cd34",
)


@pytest.mark.parametrize("signals", [SIGNALS, replace(SIGNALS, logits=None)], ids=["logits", "labels"])
def test_signals_come_back_as_they_were(tmp_path, signals) -> None:
    dataset = TeacherSignalsDataset(str(tmp_path / "deep" / "signals.safetensors"))
    assert not dataset.exists()
    dataset.save(signals)
    found = dataset.load()
    assert dataset.exists() and sorted(os.listdir(tmp_path / "deep")) == FILES
    assert torch.equal(found.labels, signals.labels)
    assert found.logits is None if signals.logits is None else torch.equal(found.logits, signals.logits)
    assert found.features.keys() == signals.features.keys()
    assert all(torch.equal(found.features[site], values) for site, values in signals.features.items())
    assert (found.rows, found.teacher_hash, found.data_hash) == ("last", "ab12", "cd34")


def test_a_failed_save_leaves_the_older_file(tmp_path, monkeypatch) -> None:
    dataset = TeacherSignalsDataset(str(tmp_path / "signals.safetensors"), metadata={"layer": "cache"})
    dataset.save(SIGNALS)

    def fail(source, target) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DatasetError, match="no space left"):
        dataset.save(replace(SIGNALS, teacher_hash="ef56"))
    monkeypatch.undo()
    assert dataset.load().teacher_hash == "ab12"
    assert sorted(os.listdir(tmp_path)) == FILES
    assert "signals.safetensors" in str(dataset) and dataset.metadata == {"layer": "cache"}
