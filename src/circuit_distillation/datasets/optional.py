"""A table that a run can do without."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset


class OptionalCSVDataset(AbstractDataset):
    """A CSV that another pipeline may not have made yet: an empty frame then, and never missing."""

    def __init__(self, filepath: str, metadata: dict | None = None) -> None:
        self._filepath = PurePosixPath(filepath)
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """The rows, or none."""
        path = Path(self._filepath)
        return pd.read_csv(path) if path.is_file() else pd.DataFrame()

    def save(self, data: pd.DataFrame) -> None:
        """Refused: the pipeline that makes the table has a dataset of its own for it."""
        raise ValueError(f"{self._filepath} is read here, not written")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
