"""A table with the rows of many runs: no run overwrites the rows of another."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io.core import DatasetError
from kedro_datasets._typing import TablePreview

from circuit_distillation.datasets.files import CSVDataset, ParquetDataset, table_preview
from circuit_distillation.datasets.optional import OptionalPartitionsDataset
from circuit_distillation.datasets.stored import StoredDataset
from circuit_distillation.storage.atomic import locked
from circuit_distillation.storage.seals import BrokenArtifactError, check

logger = logging.getLogger(__name__)
FORMS = {".parquet": ParquetDataset, ".csv": CSVDataset}
KEY = ["task", "seed", "experiment"]  # of a run


class RowsDataset(StoredDataset):
    """Each run keeps its rows in a file of its own, `{table}/{run}.parquet`, which no other run writes.

    The table beside that folder, `{table}.parquet` or `.csv`, is for other programs: saving writes it anew,
    whole, from the files of all runs, in the order of `KEY`. Loading gives the rows of all runs; with
    `own_rows` those of this run alone. It exists for a run once the run's file and the table are what was
    written.
    """

    def __init__(self, filepath: str, run: str, own_rows: bool = False, metadata: dict | None = None) -> None:
        self._table = Path(filepath)
        self._own = self._table.with_suffix("") / f"{run}.parquet"
        super().__init__(str(self._own) if own_rows else filepath, metadata=metadata)
        self._scope = {} if own_rows else {"run": run}  # of a file that is shared
        self._runs = OptionalPartitionsDataset(
            path=str(self._own.parent), dataset=ParquetDataset, filename_suffix=".parquet"
        )

    def load(self) -> pd.DataFrame:
        """The rows. `BrokenArtifactError` if this run's are not what was written; another's are left out
        then, said in a line.
        """
        if not self._scope:
            return ParquetDataset(filepath=str(self._own)).load()
        with locked(self._table):
            return self._all_rows()

    def save(self, data: pd.DataFrame) -> None:
        """Replace the rows of the run, then the table."""
        with locked(self._table):
            self._runs.save({self._own.stem: data})
            FORMS[self._table.suffix](filepath=str(self._table)).save(self._all_rows())

    def _all_rows(self) -> pd.DataFrame:
        frames = [self._rows_of(run, load) for run, load in self._runs.load().items()]
        if not frames:
            raise FileNotFoundError(f"there are no rows in {self._own.parent}")
        rows = pd.concat([frame for frame in frames if len(frame)] or frames[:1])
        return rows.sort_values(KEY, kind="stable", ignore_index=True) if len(rows) else rows

    def _rows_of(self, run: str, load: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The rows of a run; none if they are another's and broken."""
        try:
            return load()
        except DatasetError as error:
            if run == self._own.stem:
                raise
            logger.warning(
                "left out: %s. `kedro run --pipelines reporting` with that run's --params makes it again",
                str(error.__cause__).partition(": delete it")[0],
            )
            return pd.DataFrame()

    def _exists(self) -> bool:
        try:
            for path in (self._own, self._table):
                check(path)
        except BrokenArtifactError:
            return False
        return self._own.is_file() and self._table.is_file()

    def _describe(self) -> dict[str, Any]:
        return super()._describe() | {"run": self._own.stem}

    def preview(self, nrows: int = 20) -> TablePreview:
        """The first rows, for Kedro-Viz."""
        return table_preview(self.load(), nrows)
