"""Stored artifacts that were cut off or changed by a byte: one line names the file and the remedy."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies
from kedro.io.core import DatasetError
from naive.tiny_models import tiny_model

from circuit_distillation.datasets.base_model import BaseModelDataset
from circuit_distillation.datasets.checkpoint import CheckpointDataset
from circuit_distillation.datasets.files import CSVDataset, JSONDataset, ParquetDataset, TextDataset
from circuit_distillation.datasets.folder import FolderDataset
from circuit_distillation.datasets.optional import OptionalCSVDataset
from circuit_distillation.datasets.teacher_signals import TeacherSignalsDataset
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.models.mini import build_tokenizer
from circuit_distillation.models.source import ModelSource
from circuit_distillation.storage import seals
from circuit_distillation.training.teacher_cache import TeacherSignals

FRAME = pd.DataFrame({"task": ["tom", "tom"], "value": [0.5, 0.25]})
SIGNALS = TeacherSignals(torch.tensor([3, 1]), None, {(0, 1): torch.ones(2, 1, 2)}, "last", "ab", "cd")


def stored(kind: str, folder: Path) -> tuple:
    """(dataset that holds an artifact of this kind, the file that is spoilt)."""
    path = folder / kind
    if kind == "model":
        dataset = CheckpointDataset(str(path))
        data = Checkpoint(tiny_model(n_layers=1), build_tokenizer(["a"]))
        path = path / "model.safetensors"
    elif kind == "base model":
        CheckpointDataset(str(folder / "m")).save(Checkpoint(tiny_model(n_layers=1), build_tokenizer(["a"])))
        dataset, data = BaseModelDataset(str(path)), ModelSource(path=str(folder / "m"))
    elif kind == "figures":
        dataset, data = FolderDataset(str(path), "a"), {"a.svg": b"<svg/>", "b.svg": b"<svg></svg>"}
        path = path / "a" / "b.svg"
    else:
        dataset, data = FILES[kind](str(path))
    dataset.save(data)
    return dataset, path


FILES = {
    "t.json": lambda path: (JSONDataset(filepath=path), {"heads": [[0, 1], [2, 3]]}),
    "t.parquet": lambda path: (ParquetDataset(filepath=path), FRAME),
    "t.csv": lambda path: (CSVDataset(filepath=path), FRAME),
    "t.md": lambda path: (TextDataset(filepath=path), "| a |"),
    "search.csv": lambda path: (OptionalCSVDataset(filepath=path), FRAME),
    "signals.safetensors": lambda path: (TeacherSignalsDataset(path), SIGNALS),
}
KINDS = [*FILES, "model", "base model", "figures"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_byte_anywhere_is_noticed(tmp_path, kind: str) -> None:
    dataset, path = stored(kind, tmp_path)
    dataset.load()
    whole = path.read_bytes()

    @settings(max_examples=25, deadline=None)
    @given(place=strategies.integers(0, len(whole) - 1), flipped=strategies.integers(1, 255))
    def is_noticed(place: int, flipped: int) -> None:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ flipped]) + whole[place + 1 :])
        seals._sha256.cache_clear()  # two writes in one tick of the clock look alike
        with pytest.raises(DatasetError, match=r"is not what was written.*delete it, and the same command"):
            dataset.load()

    is_noticed()
    path.write_bytes(whole)
    seals._sha256.cache_clear()
    dataset.load()


# text says nothing of where it should end
@pytest.mark.parametrize("kind", ["t.json", "t.parquet", "signals.safetensors", "model"])
def test_a_cut_off_file_without_a_seal_is_noticed_too(tmp_path, kind: str) -> None:
    dataset, path = stored(kind, tmp_path)
    for seal in (seals.seal_path(path), path.parent / seals.FOLDER_SEAL):
        seal.unlink(missing_ok=True)
    dataset.load()
    path.write_bytes(path.read_bytes()[:3])
    with pytest.raises(DatasetError, match=r"cannot be read \(.*delete it, and the same command"):
        dataset.load()


def test_what_cannot_be_read_though_its_checksum_holds_is_not_to_be_deleted(tmp_path) -> None:
    dataset, path = stored("t.json", tmp_path)
    with seals.sealing(path):
        path.write_text("{")
    with pytest.raises(DatasetError, match=r"cannot be read \(.*; its checksum holds") as caught:
        dataset.load()
    assert "delete" not in str(caught.value)


def test_a_folder_that_lacks_a_file_is_noticed(tmp_path) -> None:
    dataset, path = stored("model", tmp_path)
    (path.parent / "tokenizer.json").unlink()
    with pytest.raises(DatasetError, match="lacks tokenizer.json"):
        dataset.load()


def test_a_failed_save_keeps_the_seal_of_the_old_file(tmp_path) -> None:
    dataset, path = stored("t.json", tmp_path)
    with pytest.raises(DatasetError):
        dataset.save({"a": float("nan")})
    assert seals.seal_path(path).is_file()
    seals.check(path)


def test_what_was_made_elsewhere_is_taken_as_it_is(tmp_path) -> None:
    path = tmp_path / "t.json"
    path.write_text("[1]")
    assert JSONDataset(filepath=str(path)).load() == [1]
    seals.check(tmp_path / "absent")
