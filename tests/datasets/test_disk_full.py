"""A full disk costs the new file and nothing else: the old one stays whole, and no half of the new one."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from kedro.io.core import DatasetError
from naive.tiny_models import tiny_model

from circuit_distillation.circuits.path_patching import new_record
from circuit_distillation.datasets.checkpoint import CheckpointDataset
from circuit_distillation.datasets.files import CSVDataset, JSONDataset, ParquetDataset, TextDataset
from circuit_distillation.datasets.folder import FolderDataset
from circuit_distillation.datasets.rows import RowsDataset
from circuit_distillation.datasets.teacher_signals import TeacherSignalsDataset
from circuit_distillation.models.loading import Checkpoint, model_hash
from circuit_distillation.models.mini import build_tokenizer
from circuit_distillation.training.run_checkpoint import Progress, RunCheckpoint
from circuit_distillation.training.teacher_cache import TeacherSignals

SIZE = 400_000  # bytes of the small disk; the second save of each kind needs more
SMALL, LARGE = 10, 60_000


def frame(n: int) -> pd.DataFrame:
    values = torch.rand(n, generator=torch.Generator().manual_seed(n)).double()
    keys = {"task": "tom", "seed": 0, "experiment": "paper"}
    return pd.DataFrame(keys | {"value": values.numpy(), "text": [f"row {k}" for k in range(n)]})


def signals(n: int) -> TeacherSignals:
    features = {(0, 1): torch.ones(n, 1, 2)}
    return TeacherSignals(torch.arange(n), torch.rand(n, 4), features, "last", "ab", "cd")


def checkpoint(n: int) -> Checkpoint:
    size = {"n_layers": 1} if n == SMALL else {"n_layers": 12, "vocab_size": 2000}
    return Checkpoint(tiny_model(**size), build_tokenizer(["a"]))


class Dataset:
    """A kind of artifact as a dataset: saved, and read again as something that can be compared."""

    def __init__(self, make: Callable, name: str, data: Callable, seen: Callable = lambda loaded: loaded):
        self._make, self._name, self._data, self._seen = make, name, data, seen

    def at(self, folder: Path) -> Dataset:
        self._dataset = self._make(str(folder / self._name))
        return self

    def save(self, n: int) -> None:
        self._dataset.save(self._data(n))

    def read(self):
        return self._seen(self._dataset.load())


class Training:
    """The checkpoint of a training run."""

    def at(self, folder: Path) -> Training:
        self._path = folder / "run.safetensors"
        return self

    def _checkpoint(self, n: int) -> RunCheckpoint:
        parameter = torch.nn.Parameter(torch.arange(float(n)))
        optimizer = torch.optim.AdamW([parameter])
        scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
        return RunCheckpoint(self._path, [parameter], optimizer, scheduler)

    def save(self, n: int) -> None:
        self._checkpoint(n * 3).save(Progress(step=n), None)

    def read(self):
        return self._checkpoint(SMALL * 3).load()[0]


class Search:
    """What a search has found so far."""

    def at(self, folder: Path) -> Search:
        self._path = folder / "stage.safetensors"
        return self

    def save(self, n: int) -> None:
        with new_record(tiny_model(n_layers=1), n, path=self._path, key="k") as record:
            record.set(slice(None), torch.arange(n), 0.5)

    def read(self):
        return new_record(tiny_model(n_layers=1), SMALL, path=self._path, key="k").changes.tolist()


def tuples(loaded: pd.DataFrame) -> list:
    return loaded.values.tolist()


KINDS = {
    "parquet": Dataset(lambda path: ParquetDataset(filepath=path), "t.parquet", frame, tuples),
    "csv": Dataset(lambda path: CSVDataset(filepath=path), "t.csv", frame, tuples),
    "json": Dataset(lambda path: JSONDataset(filepath=path), "t.json", lambda n: {"heads": list(range(n))}),
    "text": Dataset(lambda path: TextDataset(filepath=path), "t.md", lambda n: "| a | b |\n" * n),
    "rows": Dataset(lambda path: RowsDataset(path, "tom"), "r.csv", frame, tuples),
    "figures": Dataset(lambda path: FolderDataset(path, "a"), "f", lambda n: {"a.svg": b"<svg/>" * n * 2}),
    "teacher": Dataset(TeacherSignalsDataset, "t.safetensors", signals, lambda read: read.labels.tolist()),
    "model": Dataset(CheckpointDataset, "m", checkpoint, lambda loaded: model_hash(loaded.model)),
    "training": Training(),
    "search": Search(),
}


@pytest.fixture(params=["limit", "disk"])
def fill(request, tmp_path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """(folder, what makes it full): a limit of this process on the size of files, or a disk of its own."""
    if request.param == "limit":
        yield from _limited(tmp_path)
    else:
        yield from _mounted(tmp_path)


def _limited(folder: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 4, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _mounted(folder: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    yield folder, lambda: None
    subprocess.run(["umount", str(folder)], check=True)


def files(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, locks of tables apart."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.parametrize("kind", KINDS)
def test_the_old_artifact_stays_whole_and_nothing_is_left(fill, kind: str) -> None:
    folder, make_full = fill
    artifact = KINDS[kind].at(folder)
    artifact.save(SMALL)
    before, said = files(folder), artifact.read()
    make_full()
    with pytest.raises(Exception, match="No space left on device|File too large"):
        artifact.save(LARGE)
    assert files(folder) == before and artifact.read() == said
    assert os.statvfs(folder).f_bavail > 0


def test_the_next_save_with_room_succeeds(tmp_path) -> None:
    artifact = KINDS["json"].at(tmp_path)
    for _ in _limited(tmp_path):
        artifact.save(SMALL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        with pytest.raises(DatasetError):
            artifact.save(LARGE)
    artifact.save(LARGE)
    assert len(artifact.read()["heads"]) == LARGE
