"""Files are whole or absent, and tables keep the rows of other runs."""

import os
from concurrent.futures import ThreadPoolExecutor

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


@pytest.mark.parametrize("name", ["NA", "nan", "None", "null", "007", "1e5", "true"])
def test_names_stay_the_text_that_they_are(tmp_path, name):
    frame = pd.DataFrame({"experiment": [name], "teacher_head": ["4.10"], "seed": [7], "value": [None]})
    dataset = CSVDataset(filepath=str(tmp_path / "t.csv"))
    dataset.save(frame)
    loaded = dataset.load()
    assert loaded.iloc[0, :3].tolist() == [name, "4.10", 7] and loaded["value"].isna().all()


def rows_of(task, values, experiment="paper"):
    return pd.DataFrame({"task": task, "seed": 0, "experiment": experiment, "value": values})


@pytest.fixture(params=["csv", "parquet"])
def table(request, tmp_path):
    """(path, dataset of a run) of a table that several runs fill."""
    path = tmp_path / f"r.{request.param}"
    return path, lambda run, **how: RowsDataset(str(path), run, **how)


def read(path):
    """As other programs do."""
    return pd.read_csv(path, keep_default_na=False) if path.suffix == ".csv" else pd.read_parquet(path)


def test_rows_of_other_runs_stay(table):
    path, dataset = table
    assert not dataset("tom").exists() and not list(path.parent.iterdir())
    dataset("tom").save(rows_of("tom", [3]))
    assert not dataset("entity").exists()
    dataset("entity").save(rows_of("entity", [1, 2]))
    dataset("entity").save(rows_of("entity", [4]))
    assert dataset("tom").load()["value"].tolist() == read(path)["value"].tolist() == [4, 3]
    assert dataset("tom").exists() and not dataset("other").exists()
    own = dataset("tom", own_rows=True)
    assert own.exists() and own.load()["value"].tolist() == [3]
    assert not dataset("other", own_rows=True).exists()


def test_a_run_without_rows_is_stored_all_the_same(table):
    path, dataset = table
    dataset("tom").save(rows_of("tom", []))
    assert dataset("tom").exists() and dataset("tom").load().empty
    dataset("entity").save(rows_of("entity", [1]))
    assert read(path)["value"].tolist() == [1]


def test_experiments_of_odd_names_are_kept_apart_however_often_they_run(table):
    path, dataset = table
    names = ["007", "1e5", "NA", "nan"]
    for name in names * 2:
        dataset(name).save(rows_of("tom", [1.5], name))
    assert dataset("NA").load()["experiment"].tolist() == names and len(read(path)) == len(names)


def test_runs_at_once_lose_no_rows(table):
    path, dataset = table
    with ThreadPoolExecutor(8) as pool:
        runs = [f"run{k}" for k in range(24)]
        list(pool.map(lambda run: dataset(run).save(rows_of("tom", [1], run)), runs))
    assert read(path)["experiment"].tolist() == sorted(runs)


def broken_by(how, path):
    data = path.read_bytes()
    middle = len(data) // 2
    changed = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    path.write_bytes({"cut off": data[:3], "changed": changed, "emptied": b""}[how])


@pytest.mark.parametrize("how", ["cut off", "changed", "emptied"])
def test_a_broken_file_of_a_run_is_its_own_loss_alone(table, how, caplog):
    path, dataset = table
    for task in ("entity", "tom"):
        dataset(task).save(rows_of(task, [1]))
    broken_by(how, path.parent / "r" / "tom.parquet")
    assert dataset("entity").exists() and not dataset("tom").exists()
    with pytest.raises(DatasetError, match=r"tom.parquet is not what was written"):
        dataset("tom").load()
    assert dataset("entity").load()["task"].tolist() == ["entity"]
    assert "left out" in caplog.text and "with that run's --params makes it again" in caplog.text
    dataset("tom").save(rows_of("tom", [2]))
    assert read(path)["value"].tolist() == [1, 2]


@pytest.mark.parametrize("how", ["cut off", "changed", "emptied"])
def test_a_broken_table_is_made_again_of_the_files_of_all_runs(table, how):
    path, dataset = table
    for task in ("entity", "tom"):
        dataset(task).save(rows_of(task, [1]))
    broken_by(how, path)
    assert not dataset("tom").exists() and len(dataset("tom").load()) == 2
    dataset("tom").save(rows_of("tom", [2]))
    assert dataset("tom").exists() and read(path)["value"].tolist() == [1, 2]


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
