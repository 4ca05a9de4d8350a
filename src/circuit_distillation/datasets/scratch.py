"""A folder for the intermediate files of a node, so that a killed run can go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from kedro.io.core import DatasetError

from circuit_distillation.datasets.stored import StoredDataset


class ScratchFolderDataset(StoredDataset):
    """Loads the path of a folder that a node may make, and removes when done; it never counts as missing."""

    is_scratch = True  # its content does not change the outputs of a node

    def load(self) -> Path:
        """The path; the node makes the folder if it needs it."""
        return self.path

    def save(self, data: Any) -> NoReturn:
        """Refused: only nodes themselves write into the folder."""
        raise DatasetError(f"{self._filepath} is a folder for unfinished work, not an output")

    def _exists(self) -> bool:
        return True
