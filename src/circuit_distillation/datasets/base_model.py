"""A Kedro dataset for a base model that stays where it is: a small file says where."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset

from circuit_distillation.datasets.atomic import write_atomically


class BaseModelDataset(AbstractDataset):
    """Save a `models.source.ModelSource`, load the `models.loading.Checkpoint` it names."""

    def __init__(self, filepath: str, metadata: dict | None = None) -> None:
        self._filepath = PurePosixPath(filepath)
        self.metadata = metadata

    def load(self):
        """The checkpoint, in evaluation mode on its device."""
        from circuit_distillation.models.source import ModelSource

        return ModelSource(**json.loads(Path(self._filepath).read_text())).load()

    def save(self, data) -> None:
        """Write where the model is from, whole or not at all."""
        text = json.dumps(asdict(data), indent=1)
        write_atomically(Path(self._filepath), lambda path: path.write_text(text))

    def _exists(self) -> bool:
        return Path(self._filepath).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def preview(self) -> str:
        """Where the model is from, for Kedro-Viz."""
        return Path(self._filepath).read_text()
