"""Small files such as figures, with one folder for each run."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from circuit_distillation.datasets.stored import StoredDataset
from circuit_distillation.storage.atomic import locked
from circuit_distillation.storage.folders import new_folder
from circuit_distillation.storage.seals import FOLDER_SEAL, BrokenArtifactError, check

logger = logging.getLogger(__name__)


class FolderDataset(StoredDataset):
    """Map of file name to bytes: saves the files of one `run`, loads those of all, as `{run}/{name}`.

    Saving replaces all files of the run, which are sealed. It exists for a run while its files are what was
    written, all of them.
    """

    def __init__(self, filepath: str, run: str, metadata: dict | None = None) -> None:
        super().__init__(filepath, metadata=metadata)
        self._scope = {"run": run}
        self._own = self.path / run

    def load(self) -> dict[str, bytes]:
        """Every file of every run. `BrokenArtifactError` if one of this run is not what was written; what is
        broken of another run is left out, said in a line.
        """
        files: dict[str, bytes] = {}
        with locked(self.path):
            for seal in sorted(self.path.glob(f"[!.]*/{FOLDER_SEAL}")):
                if not self._is_sound(seal.parent):
                    continue
                paths = [seal.with_name(name) for name in json.loads(seal.read_text())]
                files |= {f"{path.parent.name}/{path.name}": path.read_bytes() for path in paths}
        return files

    def _is_sound(self, folder: Path) -> bool:
        try:
            check(folder)
        except BrokenArtifactError as error:
            if folder == self._own:
                raise
            logger.warning("left out: %s", str(error).partition(": delete it")[0])
            return False
        return True

    def save(self, data: dict[str, bytes]) -> None:
        """Write all files of the run, or none."""
        if strange := [name for name in data if Path(name).name != name]:
            raise ValueError(f"{strange[0]!r} is no name of a file")
        with locked(self.path), new_folder(self._own, hidden_as=self.path) as folder:
            for name, content in data.items():
                (folder / name).write_bytes(content)

    def _exists(self) -> bool:
        try:
            check(self._own)
        except BrokenArtifactError:
            return False
        return (self._own / FOLDER_SEAL).is_file()

    def _describe(self) -> dict[str, Any]:
        return super()._describe() | self._scope
