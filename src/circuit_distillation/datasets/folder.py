"""A folder of small files, such as figures: saving adds or replaces files and keeps those of other runs."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset

from circuit_distillation.datasets.atomic import write_atomically


class FolderDataset(AbstractDataset):
    """Map of file name to bytes. It exists for a run once a file starts with the run's `prefix`."""

    def __init__(self, filepath: str, prefix: str = "", metadata: dict | None = None) -> None:
        self._filepath = PurePosixPath(filepath)
        self._prefix = prefix
        self.metadata = metadata

    def load(self) -> dict[str, bytes]:
        """Every file of the folder, by name."""
        return {path.name: path.read_bytes() for path in sorted(Path(self._filepath).glob("[!.]*"))}

    def save(self, data: dict[str, bytes]) -> None:
        """Write each file whole; names must start with the prefix, so that runs cannot mix."""
        for name, content in data.items():
            if not name.startswith(self._prefix) or "/" in name:
                raise ValueError(f"file name {name!r} must start with {self._prefix!r} and hold no slash")
        for name, content in data.items():
            path = Path(self._filepath) / name
            write_atomically(path, lambda beside, content=content: beside.write_bytes(content))

    def _exists(self) -> bool:
        return any(Path(self._filepath).glob(f"{self._prefix}*"))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "prefix": self._prefix}
