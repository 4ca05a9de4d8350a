"""A Kedro dataset for `save_pretrained` folders: the model with its tokenizer."""

from __future__ import annotations

import json

from circuit_distillation.datasets.reading import readable
from circuit_distillation.datasets.stored import StoredDataset


class CheckpointDataset(StoredDataset):
    """Load and save a `models.loading.Checkpoint`; the folder is whole or absent.

    `load_args` go to `load_checkpoint` (dtype, device_map, attention).
    """

    def load(self):
        """The checkpoint, in evaluation mode."""
        from circuit_distillation.models.loading import is_checkpoint, load_checkpoint

        if not is_checkpoint(self.path):
            return load_checkpoint(self.path)  # which says what is missing
        with readable(self.path):
            return load_checkpoint(self.path, **self._load_args)

    def save(self, data) -> None:
        """Write the checkpoint beside its folder, then rename."""
        from circuit_distillation.models.loading import save_checkpoint

        save_checkpoint(data, self.path)

    def _exists(self) -> bool:
        return (self.path / "config.json").is_file() and any(self.path.glob("*.safetensors"))

    def preview(self) -> str:
        """The configuration of the model, for Kedro-Viz."""
        return json.dumps(json.loads((self.path / "config.json").read_text()), indent=2)
