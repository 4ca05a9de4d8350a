"""kedro-datasets' Parquet, CSV, JSON and text files, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro_datasets.json import JSONDataset as _JSONDataset
from kedro_datasets.pandas import CSVDataset as _CSVDataset
from kedro_datasets.pandas import ParquetDataset as _ParquetDataset
from kedro_datasets.text import TextDataset as _TextDataset

from circuit_distillation.datasets.atomic import write_atomically


class ParquetDataset(_ParquetDataset):
    """A pandas frame, without its index."""

    def save(self, data: Any) -> None:
        """Write beside, then rename."""
        save_args = {"index": False, **self._save_args}
        write_atomically(
            Path(self._filepath), lambda path: _ParquetDataset(filepath=str(path), save_args=save_args).save(data)
        )


class CSVDataset(_CSVDataset):
    """A pandas frame as CSV, for tables that people open."""

    def save(self, data: Any) -> None:
        """Write beside, then rename."""
        write_atomically(Path(self._filepath), lambda path: _CSVDataset(filepath=str(path)).save(data))


class JSONDataset(_JSONDataset):
    """A JSON document; NaN is refused, since strict readers would not take it."""

    def save(self, data: Any) -> None:
        """Write beside, then rename."""
        save_args = {"indent": 1, "allow_nan": False}
        write_atomically(
            Path(self._filepath), lambda path: _JSONDataset(filepath=str(path), save_args=save_args).save(data)
        )


class TextDataset(_TextDataset):
    """A text file, UTF-8."""

    def save(self, data: str) -> None:
        """Write beside, then rename."""
        write_atomically(Path(self._filepath), lambda path: _TextDataset(filepath=str(path)).save(data))
