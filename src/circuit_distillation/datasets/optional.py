"""Inputs that may be absent: a table, or the files of many runs."""

from __future__ import annotations

from typing import Any

import pandas as pd
from kedro_datasets.partitions import PartitionedDataset

from circuit_distillation.datasets.files import CSVDataset


class OptionalCSVDataset(CSVDataset):
    """A CSV that another pipeline may not have made yet: an empty frame then, and never missing."""

    def load(self) -> pd.DataFrame:
        """The rows, or none. `BrokenArtifactError` if the file is not what was written."""
        return super().load() if super()._exists() else pd.DataFrame()

    def _exists(self) -> bool:
        return True


class OptionalPartitionsDataset(PartitionedDataset):
    """Files of many runs that may be none at all."""

    def load(self) -> dict[str, Any]:
        """A loader for each file, by its path without ending."""
        self.release()  # another node may have added a file since they were listed
        return super().load() if self._list_partitions() else {}

    def _exists(self) -> bool:
        return True
