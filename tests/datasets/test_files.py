"""Files are whole or absent, and tables keep the rows of other runs."""

import os

import pandas as pd
import pytest
from kedro.io.core import DatasetError

from circuit_distillation.datasets.files import CSVDataset, JSONDataset, ParquetDataset, TextDataset
from circuit_distillation.datasets.folder import FolderDataset
from circuit_distillation.datasets.rows import RowsDataset

FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})


@pytest.mark.parametrize(
    ("kind", "name", "data"),
    [(ParquetDataset, "t.parquet", FRAME), (CSVDataset, "t.csv", FRAME), (JSONDataset, "t.json", {"a": [1]})]
    + [(TextDataset, "t.md", "α | β\n")],
)
def test_what_is_saved_is_loaded_and_nothing_else_is_left(tmp_path, kind, name, data):
    dataset = kind(filepath=str(tmp_path / "deep" / name))
    assert not dataset.exists()
    dataset.save(data)
    loaded = dataset.load()
    assert loaded.equals(data) if isinstance(data, pd.DataFrame) else loaded == data
    assert set(os.listdir(tmp_path / "deep")) <= {name, f".{name}.sha256"}


def test_a_failed_save_leaves_the_old_file_and_no_debris(tmp_path):
    dataset = JSONDataset(filepath=str(tmp_path / "t.json"))
    dataset.save({"a": 1})
    with pytest.raises(DatasetError):
        dataset.save({"a": float("nan")})
    assert dataset.load() == {"a": 1}
    assert sorted(os.listdir(tmp_path)) == [".t.json.sha256", "t.json"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_of_other_runs_stay(tmp_path, suffix):
    def rows(task, seed, values):
        return pd.DataFrame({"task": task, "seed": seed, "value": values})

    def dataset(task, seed):
        return RowsDataset(str(tmp_path / f"r.{suffix}"), ["task", "seed"], {"task": task, "seed": seed})

    dataset("entity", 0).save(rows("entity", 0, [1, 2]))
    assert not dataset("tom", 0).exists()
    dataset("tom", 0).save(rows("tom", 0, [3]))
    dataset("entity", 0).save(rows("entity", 0, [4]))
    assert dataset("entity", 0).load().values.tolist() == [["entity", 0, 4], ["tom", 0, 3]]
    assert dataset("tom", 0).exists() and not dataset("tom", 1).exists()


def test_a_folder_keeps_the_files_of_other_runs_and_refuses_foreign_names(tmp_path):
    first, second = (FolderDataset(str(tmp_path / "f"), prefix) for prefix in ("a_", "b_"))
    first.save({"a_1.svg": b"1"})
    assert not second.exists()
    second.save({"b_1.svg": b"2"})
    assert first.load() == {"a_1.svg": b"1", "b_1.svg": b"2"}
    with pytest.raises(DatasetError, match="must start with 'a_'"):
        first.save({"../x": b""})
