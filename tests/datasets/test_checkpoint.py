"""Models as Kedro datasets."""

from __future__ import annotations

import json
import os

import pytest
import torch
from kedro.io.core import DatasetError
from naive.tiny_models import tiny_model

from circuit_distillation.datasets.checkpoint import CheckpointDataset
from circuit_distillation.models.loading import Checkpoint, model_hash
from circuit_distillation.models.mini import build_tokenizer


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return Checkpoint(tiny_model(n_layers=1), build_tokenizer(["a b"]))


def test_a_model_and_its_tokenizer_come_back(tmp_path, checkpoint) -> None:
    dataset = CheckpointDataset(str(tmp_path / "tuned" / "small"), {"dtype": "float64"})
    assert not dataset.exists()
    dataset.save(checkpoint)
    found = dataset.load()
    assert dataset.exists() and model_hash(found.model) == model_hash(checkpoint.model)
    assert found.tokenizer("b a")["input_ids"] == checkpoint.tokenizer("b a")["input_ids"]
    assert CheckpointDataset(str(tmp_path / "tuned" / "small")).load().model.dtype == torch.float32


def test_it_describes_itself(tmp_path, checkpoint) -> None:
    dataset = CheckpointDataset(str(tmp_path / "small"), metadata={"kedro-viz": {"layer": "models"}})
    dataset.save(checkpoint)
    assert json.loads(dataset.preview())["num_attention_heads"] == 4
    assert str(tmp_path / "small") in str(dataset)
    assert dataset.metadata == {"kedro-viz": {"layer": "models"}}


def test_a_failed_save_leaves_nothing(tmp_path, monkeypatch) -> None:
    broken = Checkpoint(tiny_model(n_layers=1), build_tokenizer(["a b"]))

    def fail(folder) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(broken.tokenizer, "save_pretrained", fail)
    dataset = CheckpointDataset(str(tmp_path / "small"))
    with pytest.raises(DatasetError, match="no space left"):
        dataset.save(broken)
    assert not dataset.exists() and os.listdir(tmp_path) == []


def test_loading_what_is_absent_says_so(tmp_path) -> None:
    with pytest.raises(DatasetError, match="holds no checkpoint"):
        CheckpointDataset(str(tmp_path / "small")).load()
