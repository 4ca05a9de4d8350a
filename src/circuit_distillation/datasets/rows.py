"""A table that several runs fill: running one task, seed or experiment never erases another's rows."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from circuit_distillation.datasets.previews import table_preview
from circuit_distillation.datasets.reading import readable
from circuit_distillation.storage.atomic import locked, write_atomically
from circuit_distillation.storage.seals import BrokenArtifactError, broken, seal_path, sealing

logger = logging.getLogger(__name__)
COPIES = ".copies"  # folder beside a table with its second copy


class RowsDataset(AbstractDataset):
    """A `.parquet` or `.csv` table; saving replaces the rows whose `key` columns are in the new rows.

    It exists for a run once it holds rows of the run's `scope` (values of key columns). A second copy lies in
    `.copies`, since no single run could make the rows of all again: a table that was cut off or changed is
    put aside as `name.broken` and made again from it. With `own_rows` those who read the table take the rows
    of their run alone: rows of others make nothing stale.
    """

    def __init__(
        self,
        filepath: str,
        key: list[str],
        scope: dict[str, Any],
        own_rows: bool = False,
        metadata: dict | None = None,
    ) -> None:
        self._filepath = PurePosixPath(filepath)
        self._key = key
        self._scope = scope
        self.own_rows = own_rows
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Rows of every run."""
        return self._rows(Path(self._filepath))

    def save(self, data: pd.DataFrame) -> None:
        """Replace the rows whose key is in `data`, keep all others, sort by key."""
        path = Path(self._filepath)
        with locked(path):
            self._heal(path)
            if path.is_file():
                data = self._merged(self._read(path), data)
            data = data.sort_values(self._key, kind="stable", ignore_index=True)
            for place in (path.parent / COPIES / path.name, path):
                with sealing(place):
                    write_atomically(place, lambda beside: _write(data, beside))

    def _rows(self, path: Path) -> pd.DataFrame:
        try:
            return self._read(path)
        except BrokenArtifactError:  # or another run was writing
            with locked(path):
                self._heal(path)
                return self._read(path)

    def _read(self, path: Path) -> pd.DataFrame:
        with readable(path):
            rows = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        if not set(self._key) <= set(rows):
            raise broken(path, f"lacks the columns {', '.join(self._key)}")
        return rows

    def _is_sound(self, path: Path) -> bool:
        try:
            self._read(path)
        except (BrokenArtifactError, FileNotFoundError):
            return False
        return True

    def _heal(self, path: Path) -> None:
        """Put a broken table aside, in its place its copy; the lock is held."""
        if not path.is_file() or self._is_sound(path):
            return
        aside, copy = path.with_name(f"{path.name}.broken"), path.parent / COPIES / path.name
        os.replace(path, aside)
        seal_path(path).unlink(missing_ok=True)
        if self._is_sound(copy):
            with sealing(path):
                write_atomically(path, lambda beside: shutil.copyfile(copy, beside))
            logger.warning("%s was not what was written: it was made again from its copy", path)
        else:
            logger.warning(
                "%s was not what was written, nor is there a sound copy: it is kept as %s. Every run adds "
                "its rows again with `kedro run --pipelines reporting` and its own --params",
                path,
                aside.name,
            )

    def _merged(self, old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
        replaced = pd.MultiIndex.from_frame(new[self._key].astype(str))
        kept = old[~pd.MultiIndex.from_frame(old[self._key].astype(str)).isin(replaced)]
        return pd.concat([kept, new], ignore_index=True) if len(kept) else new

    def _exists(self) -> bool:
        try:
            rows = self._rows(Path(self._filepath))
        except FileNotFoundError:
            return False
        for column, value in self._scope.items():
            rows = rows[rows[column].astype(str) == str(value)]
        return len(rows) > 0

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "key": self._key, "scope": self._scope}

    def preview(self, nrows: int = 20) -> TablePreview:
        """The first rows, for Kedro-Viz."""
        return table_preview(self.load(), nrows)


def _write(data: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".csv":
        data.to_csv(path, index=False)
    else:
        data.to_parquet(path, index=False)
