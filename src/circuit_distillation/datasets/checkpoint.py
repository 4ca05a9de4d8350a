"""A Kedro dataset for `save_pretrained` folders: the model with its tokenizer."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset

from circuit_distillation.datasets.reading import readable


class CheckpointDataset(AbstractDataset):
    """Load and save a `models.loading.Checkpoint`; the folder is whole or absent."""

    def __init__(
        self, filepath: str, load_args: dict[str, Any] | None = None, metadata: dict | None = None
    ) -> None:
        """`load_args` go to `load_checkpoint` (dtype, attention)."""
        self._filepath = PurePosixPath(filepath)
        self._load_args = load_args or {}
        self.metadata = metadata

    def load(self):
        """The checkpoint, in evaluation mode."""
        from circuit_distillation.models.loading import is_checkpoint, load_checkpoint

        folder = Path(self._filepath)
        if not is_checkpoint(folder):
            return load_checkpoint(folder)  # which says what is missing
        with readable(folder):
            return load_checkpoint(folder, **self._load_args)

    def save(self, data) -> None:
        """Write the checkpoint beside its folder, then rename."""
        from circuit_distillation.models.loading import save_checkpoint

        save_checkpoint(data, Path(self._filepath))

    def _exists(self) -> bool:
        folder = Path(self._filepath)
        return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def preview(self) -> str:
        """The configuration of the model, for Kedro-Viz."""
        return json.dumps(json.loads((Path(self._filepath) / "config.json").read_text()), indent=2)
