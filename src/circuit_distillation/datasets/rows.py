"""A table that several runs fill: running one task, seed or experiment never erases another's rows."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from circuit_distillation.datasets.atomic import locked, write_atomically
from circuit_distillation.datasets.previews import table_preview
from circuit_distillation.datasets.reading import readable
from circuit_distillation.models.seals import sealing


class RowsDataset(AbstractDataset):
    """A `.parquet` or `.csv` table; saving replaces the rows whose `key` columns are in the new rows.

    It exists for a run once it holds rows of the run's `scope` (values of key columns).
    """

    def __init__(
        self, filepath: str, key: list[str], scope: dict[str, Any], metadata: dict | None = None
    ) -> None:
        self._filepath = PurePosixPath(filepath)
        self._key = key
        self._scope = scope
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Rows of every run."""
        path = Path(self._filepath)
        with readable(path):
            return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)

    def save(self, data: pd.DataFrame) -> None:
        """Replace the rows whose key is in `data`, keep all others, sort by key."""
        path = Path(self._filepath)
        with locked(path):
            if path.is_file():
                data = self._merged(self.load(), data)
            data = data.sort_values(self._key, kind="stable", ignore_index=True)
            with sealing(path):
                write_atomically(path, lambda beside: _write(data, beside))

    def _merged(self, old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
        replaced = pd.MultiIndex.from_frame(new[self._key].astype(str))
        kept = old[~pd.MultiIndex.from_frame(old[self._key].astype(str)).isin(replaced)]
        return pd.concat([kept, new], ignore_index=True) if len(kept) else new

    def _exists(self) -> bool:
        if not Path(self._filepath).is_file():
            return False
        rows = self.load()
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
