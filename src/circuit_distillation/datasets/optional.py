"""What a run can do without: a table, or the files of many runs."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset
from kedro_datasets.partitions import PartitionedDataset

from circuit_distillation.datasets.reading import readable


class OptionalCSVDataset(AbstractDataset):
    """A CSV that another pipeline may not have made yet: an empty frame then, and never missing."""

    def __init__(self, filepath: str, metadata: dict | None = None) -> None:
        self._filepath = PurePosixPath(filepath)
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """The rows, or none. `BrokenArtifactError` if the file is not what was written."""
        path = Path(self._filepath)
        if not path.is_file():
            return pd.DataFrame()
        with readable(path):
            return pd.read_csv(path)

    def save(self, data: pd.DataFrame) -> None:
        """Refused: the pipeline that makes the table has a dataset of its own for it."""
        raise ValueError(f"{self._filepath} is read here, not written")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class OptionalPartitionsDataset(PartitionedDataset):
    """Files of many runs that may be none at all."""

    def load(self) -> dict[str, Any]:
        """A loader for each file, by its path without ending."""
        return super().load() if self._list_partitions() else {}

    def _exists(self) -> bool:
        return True
