"""kedro-datasets' Parquet, CSV, JSON and text files, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro_datasets._typing import TablePreview
from kedro_datasets.json import JSONDataset as _JSONDataset
from kedro_datasets.pandas import CSVDataset as _CSVDataset
from kedro_datasets.pandas import ParquetDataset as _ParquetDataset
from kedro_datasets.text import TextDataset as _TextDataset

from circuit_distillation.datasets.previews import table_preview
from circuit_distillation.datasets.reading import readable
from circuit_distillation.storage.atomic import write_atomically
from circuit_distillation.storage.seals import sealing


class ParquetDataset(_ParquetDataset):
    """A pandas frame, without its index; sealed with a checksum."""

    def load(self) -> Any:
        """The frame. `BrokenArtifactError` if the file is not what was written."""
        with readable(Path(self._filepath)):
            return super().load()

    def save(self, data: Any) -> None:
        """Write beside, then rename."""
        args = {"index": False, **self._save_args}
        path = Path(self._filepath)
        with sealing(path):
            write_atomically(
                path, lambda beside: _ParquetDataset(filepath=str(beside), save_args=args).save(data)
            )

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows, for Kedro-Viz; lists within cells too are made plain."""
        return table_preview(self.load(), nrows)


class CSVDataset(_CSVDataset):
    """A pandas frame as CSV, for tables that people open; sealed with a checksum."""

    def load(self) -> Any:
        """The frame. `BrokenArtifactError` if the file is not what was written."""
        with readable(Path(self._filepath)):
            return super().load()

    def save(self, data: Any) -> None:
        """Write beside, then rename."""
        path = Path(self._filepath)
        with sealing(path):
            write_atomically(path, lambda beside: _CSVDataset(filepath=str(beside)).save(data))

    def preview(self, nrows: int = 5) -> TablePreview:
        """The first rows, for Kedro-Viz."""
        return table_preview(self.load(), nrows)


class JSONDataset(_JSONDataset):
    """A JSON document, sealed with a checksum; NaN is refused, since strict readers would not take it."""

    def load(self) -> Any:
        """The document. `BrokenArtifactError` if the file is not what was written."""
        with readable(Path(self._filepath)):
            return super().load()

    def save(self, data: Any) -> None:
        """Write beside, then rename."""
        args = {"indent": 1, "allow_nan": False}
        path = Path(self._filepath)
        with sealing(path):
            write_atomically(
                path, lambda beside: _JSONDataset(filepath=str(beside), save_args=args).save(data)
            )


class TextDataset(_TextDataset):
    """A text file, UTF-8; sealed with a checksum."""

    def load(self) -> str:
        """The text. `BrokenArtifactError` if the file is not what was written."""
        with readable(Path(self._filepath)):
            return super().load()

    def save(self, data: str) -> None:
        """Write beside, then rename."""
        path = Path(self._filepath)
        with sealing(path):
            write_atomically(path, lambda beside: _TextDataset(filepath=str(beside)).save(data))
