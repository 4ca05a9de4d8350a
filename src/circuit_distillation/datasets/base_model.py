"""A Kedro dataset for a base model that stays in its own folder; a small sealed file names the folder.

A pruned model lies in a folder beside that file, which names the model that it was pruned from.
"""

from __future__ import annotations

import json
from pathlib import Path

from circuit_distillation.datasets.reading import readable
from circuit_distillation.datasets.stored import StoredDataset
from circuit_distillation.storage.atomic import write_atomically
from circuit_distillation.storage.seals import broken, sealing

WHERE = ("hub_id", "revision", "path")


class BaseModelDataset(StoredDataset):
    """Save where a `models.source.ModelSource` is, or a `models.source.PrunedModel`; load the
    `models.loading.Checkpoint` that is there.

    `load_args`, dtype, device_map and attention, are those of this run, not of the one that saved.
    """

    def load(self):
        """The checkpoint, in evaluation mode on its device. `BrokenArtifactError` if the file was changed."""
        from circuit_distillation.models.source import ModelSource

        with readable(self.path):
            stored = json.loads(self.path.read_text())
            if stored.get("pruned"):
                return self._pruned(stored["pruned"])
            source = ModelSource(**{key: stored[key] for key in WHERE}, **self._load_args)
        return source.load()  # what is wrong with the model is no fault of the file

    def save(self, data) -> None:
        """Write where the model is from and what it is, whole or not at all."""
        from circuit_distillation.models.loading import model_hash, save_checkpoint
        from circuit_distillation.models.source import PrunedModel

        pruned = data if isinstance(data, PrunedModel) else None
        source = pruned.source if pruned else data
        content = {key: getattr(source, key) for key in WHERE} | source.identity()
        if pruned:
            save_checkpoint(pruned.checkpoint, self._folder)
            content["pruned"] = model_hash(pruned.checkpoint.model)
        text = json.dumps(content, indent=1)
        with sealing(self.path):
            write_atomically(self.path, lambda beside: beside.write_text(text))

    @property
    def _folder(self) -> Path:
        """Of a pruned model."""
        return self.path.with_suffix("")

    def _pruned(self, expected: str):
        from circuit_distillation.models.loading import load_checkpoint, model_hash

        checkpoint = load_checkpoint(self._folder, **self._load_args)
        if model_hash(checkpoint.model) != expected:
            raise broken(self.path, f"names weights that {self._folder} does not hold")
        return checkpoint

    def preview(self) -> str:
        """Where the model is from, for Kedro-Viz."""
        return self.path.read_text()
