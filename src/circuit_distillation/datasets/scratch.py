"""A folder for the intermediate files of a node, so that a killed run can go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from kedro.io.core import DatasetError

from circuit_distillation.datasets.stored import StoredDataset


class ScratchFolderDataset(StoredDataset):
    """Loads as the path of a folder that a node may make, and removes when done; never missing or saved."""

    is_scratch = True  # nothing that is made from it depends on what it holds

    def load(self) -> Path:
        """The path; whether there is a folder is the node's business."""
        return self.path

    def save(self, data: Any) -> NoReturn:
        """Refused: the folder holds what nodes put there themselves."""
        raise DatasetError(f"{self._filepath} is a folder for unfinished work, not an output")

    def _exists(self) -> bool:
        return True
