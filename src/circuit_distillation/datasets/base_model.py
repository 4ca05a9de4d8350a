"""A Kedro dataset for a base model that stays in its own folder; a small sealed file names the folder."""

from __future__ import annotations

import json

from circuit_distillation.datasets.reading import readable
from circuit_distillation.datasets.stored import StoredDataset
from circuit_distillation.storage.atomic import write_atomically
from circuit_distillation.storage.seals import sealing

WHERE = ("hub_id", "revision", "path")


class BaseModelDataset(StoredDataset):
    """Save where a `models.source.ModelSource` is, load the `models.loading.Checkpoint` that is there.

    `load_args`, dtype, device_map and attention, are those of this run, not of the one that saved.
    """

    def load(self):
        """The checkpoint, in evaluation mode on its device. `BrokenArtifactError` if the file was changed."""
        from circuit_distillation.models.source import ModelSource

        with readable(self.path):
            stored = json.loads(self.path.read_text())
            source = ModelSource(**{key: stored[key] for key in WHERE}, **self._load_args)
        return source.load()  # what is wrong with the model is no fault of the file

    def save(self, data) -> None:
        """Write where the model is from and what it is, whole or not at all."""
        content = {key: getattr(data, key) for key in WHERE} | data.identity()
        text = json.dumps(content, indent=1)
        with sealing(self.path):
            write_atomically(self.path, lambda beside: beside.write_text(text))

    def preview(self) -> str:
        """Where the model is from, for Kedro-Viz."""
        return self.path.read_text()
