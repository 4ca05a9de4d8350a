"""Parquet, CSV, JSON and text files of kedro-datasets: written whole or not at all, and checked when read."""

from __future__ import annotations

import json
from copy import copy
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from kedro_datasets._typing import TablePreview
from kedro_datasets.json import JSONDataset as _JSONDataset
from kedro_datasets.pandas import CSVDataset as _CSVDataset
from kedro_datasets.pandas import ParquetDataset as _ParquetDataset
from kedro_datasets.text import TextDataset as _TextDataset

from circuit_distillation.datasets.reading import readable
from circuit_distillation.storage.atomic import write_atomically
from circuit_distillation.storage.seals import sealing

# Columns of names: pandas would read the experiments NA and nan as missing, 007 and 1e5 as numbers, and the
# head 4.10 as 4.1.
NAMES = ("experiment", "first", "second", "student_head", "teacher_head")


class SealedFile:
    """Put before a dataset of kedro-datasets: seals what that one saves, checks the seal of what it loads."""

    _filepath: PurePosixPath

    def load(self) -> Any:
        """What was saved. `BrokenArtifactError` if the file is not what was written."""
        with readable(Path(self._filepath)):
            return super().load()  # type: ignore[misc]

    def save(self, data: Any) -> None:
        """Write beside, then rename."""
        path = Path(self._filepath)
        with sealing(path):
            write_atomically(path, lambda beside: self._save_as(beside, data))

    def _save_as(self, path: Path, data: Any) -> None:
        elsewhere = copy(self)
        elsewhere._filepath = PurePosixPath(path)
        super(SealedFile, elsewhere).save(data)  # type: ignore[misc]


class SealedTable(SealedFile):
    """A pandas frame."""

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows, for Kedro-Viz."""
        return table_preview(self.load(), nrows)


class FrameFile(SealedFile, _ParquetDataset):
    """A pandas frame as Parquet, without its index."""

    DEFAULT_SAVE_ARGS = {"index": False}


class ParquetDataset(SealedTable, FrameFile):
    """A pandas frame, previewed as a table."""


class CSVDataset(SealedTable, _CSVDataset):
    """A pandas frame as CSV, for tables that people open; names stay the text that they are."""

    DEFAULT_LOAD_ARGS = {
        "dtype": dict.fromkeys(NAMES, str),
        "keep_default_na": False,
        "na_values": ["", "n/a"],
    }


class JSONDataset(SealedFile, _JSONDataset):
    """A JSON document; NaN is refused, since strict readers would not take it."""

    DEFAULT_SAVE_ARGS = {"indent": 1, "allow_nan": False}


class TextDataset(SealedFile, _TextDataset):
    """A text file, UTF-8."""


def table_preview(frame: pd.DataFrame, nrows: int) -> TablePreview:
    """The first rows as plain JSON: columns, index, data. What is missing is null, arrays are lists."""
    return TablePreview(json.loads(frame.head(nrows).to_json(orient="split")))
