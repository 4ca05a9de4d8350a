"""A Kedro dataset for a base model that stays where it is: a small, sealed file says where."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset

from circuit_distillation.datasets.reading import readable
from circuit_distillation.storage.atomic import write_atomically
from circuit_distillation.storage.seals import sealing

WHERE = ("hub_id", "revision", "path")


class BaseModelDataset(AbstractDataset):
    """Save where a `models.source.ModelSource` is, load the `models.loading.Checkpoint` that is there."""

    def __init__(
        self, filepath: str, load_args: dict[str, Any] | None = None, metadata: dict | None = None
    ) -> None:
        """`load_args`, dtype, device_map and attention, are those of this run, not of the one that saved."""
        self._filepath = PurePosixPath(filepath)
        self._load_args = load_args or {}
        self.metadata = metadata

    def load(self):
        """The checkpoint, in evaluation mode on its device. `BrokenArtifactError` if the file was changed."""
        from circuit_distillation.models.source import ModelSource

        with readable(Path(self._filepath)):
            told = json.loads(Path(self._filepath).read_text())
            source = ModelSource(**{key: told[key] for key in WHERE}, **self._load_args)
        return source.load()  # what is wrong with the model is no fault of the file

    def save(self, data) -> None:
        """Write where the model is from and what its weights are, whole or not at all."""
        told = {key: getattr(data, key) for key in WHERE} | {"weights": data.weights()}
        text, path = json.dumps(told, indent=1), Path(self._filepath)
        with sealing(path):
            write_atomically(path, lambda beside: beside.write_text(text))

    def _exists(self) -> bool:
        return Path(self._filepath).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def preview(self) -> str:
        """Where the model is from, for Kedro-Viz."""
        return Path(self._filepath).read_text()
