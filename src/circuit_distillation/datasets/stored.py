"""The base class of the project's datasets: one path in the data folder, and its description."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset


class StoredDataset(AbstractDataset):
    """A file or folder at `filepath`, which subclasses load, with `load_args` if they take any, and save."""

    def __init__(
        self, filepath: str, load_args: dict[str, Any] | None = None, metadata: dict | None = None
    ) -> None:
        self._filepath = PurePosixPath(filepath)
        self._load_args = load_args or {}
        self.metadata = metadata

    @property
    def path(self) -> Path:
        """Where the file or folder is."""
        return Path(self._filepath)

    def _exists(self) -> bool:
        return self.path.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
