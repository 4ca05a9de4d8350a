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


def rows_of(task, values):
    return pd.DataFrame({"task": task, "seed": 0, "value": values})


@pytest.fixture(params=["csv", "parquet"])
def table(request, tmp_path):
    """(path, dataset of a task) of a table that several runs fill."""
    path = tmp_path / f"r.{request.param}"
    return path, lambda task: RowsDataset(str(path), ["task", "seed"], {"task": task, "seed": 0})


def test_rows_of_other_runs_stay(table):
    path, dataset = table
    assert not dataset("tom").exists() and not list(path.parent.iterdir())
    dataset("entity").save(rows_of("entity", [1, 2]))
    assert not dataset("tom").exists()
    dataset("tom").save(rows_of("tom", [3]))
    dataset("entity").save(rows_of("entity", [4]))
    assert dataset("entity").load().values.tolist() == [["entity", 0, 4], ["tom", 0, 3]]
    assert dataset("tom").exists() and not dataset("other").exists()


def broken_by(how, path):
    data = path.read_bytes()
    middle = len(data) // 2
    changed = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    path.write_bytes({"cut off": data[:3], "changed": changed, "emptied": b""}[how])


@pytest.mark.parametrize("how", ["cut off", "changed", "emptied"])
@pytest.mark.parametrize("use", ["exists", "load", "save"])
def test_a_broken_table_loses_no_rows(table, how, use, caplog):
    path, dataset = table
    dataset("entity").save(rows_of("entity", [1, 2]))
    dataset("tom").save(rows_of("tom", [3]))
    broken_by(how, path)
    if use == "save":
        dataset("tom").save(rows_of("tom", [3]))
    assert use != "exists" or dataset("entity").exists()
    assert dataset("tom").load()["value"].tolist() == [1, 2, 3]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} was not what was written: it was made again from its copy"
    ]
    assert path.with_name(f"{path.name}.broken").is_file()


def test_without_a_sound_copy_a_run_adds_its_rows_and_the_broken_table_is_kept(table, caplog):
    path, dataset = table
    dataset("entity").save(rows_of("entity", [1, 2]))
    for place in (path, path.parent / ".copies" / path.name):
        broken_by("cut off", place)
    assert not dataset("entity").exists()
    dataset("tom").save(rows_of("tom", [3]))
    assert dataset("tom").load()["value"].tolist() == [3]
    assert "every run adds its rows again with `kedro run --pipelines reporting`" in caplog.text.lower()
    assert path.with_name(f"{path.name}.broken").is_file()


@pytest.fixture
def folders(tmp_path):
    """(root, dataset of a run) of a folder that several runs fill."""
    return tmp_path / "f", lambda run: FolderDataset(str(tmp_path / "f"), run)


def test_a_folder_keeps_the_files_of_other_runs_and_refuses_foreign_names(folders):
    root, of = folders
    of("lambda_5").save({"1.svg": b"1"})
    assert not of("lambda").exists()  # whose name the other's begins with
    of("lambda").save({"1.svg": b"2"})
    assert of("lambda").load() == {"lambda/1.svg": b"2", "lambda_5/1.svg": b"1"}
    with pytest.raises(DatasetError, match="is no name of a file"):
        of("lambda").save({"../x": b""})
    of("none").save({})
    assert of("none").exists() and sorted(os.listdir(root)) == ["lambda", "lambda_5", "none"]


def test_a_run_that_draws_less_leaves_none_of_its_old_files(folders):
    root, of = folders
    of("a").save({"1.svg": b"1", "dropped.svg": b""})
    of("a").save({"1.svg": b"2"})
    (root / "a" / "by_hand.svg").write_bytes(b"")
    assert of("a").load() == {"a/1.svg": b"2"}
    assert not (root / "a" / "dropped.svg").exists()


def test_a_file_of_a_folder_that_is_gone_or_changed_is_noticed(folders, caplog):
    root, of = folders
    of("a").save({"1.svg": b"1", "2.svg": b"2"})
    assert of("a").exists()
    (root / "a" / "1.svg").write_bytes(b"x")
    assert not of("a").exists()
    with pytest.raises(DatasetError, match=r"the checksum of 1.svg differs"):
        of("a").load()
    of("b").save({"1.svg": b"3"})
    assert of("b").load() == {"b/1.svg": b"3"} and "left out" in caplog.text
    of("a").save({"1.svg": b"1", "2.svg": b"2"})
    (root / "a" / "2.svg").unlink()
    assert not of("a").exists()
