"""A folder to publish: a student with its card and records."""

from __future__ import annotations

from pathlib import Path

from circuit_distillation.datasets.stored import StoredDataset
from circuit_distillation.storage.folders import new_folder


class BundleDataset(StoredDataset):
    """Saves (checkpoint, {file name: bytes}) as one folder, whole or absent; loads the path of the folder."""

    def load(self) -> Path:
        """The folder. `BrokenArtifactError` if a file of it is not what was written."""
        from circuit_distillation.storage.seals import check

        check(self.path)
        return self.path

    def save(self, data) -> None:
        """Write model, tokenizer and files beside the folder, then rename."""
        checkpoint, files = data
        with new_folder(self.path) as beside:
            checkpoint.model.save_pretrained(beside)
            checkpoint.tokenizer.save_pretrained(beside)
            for name, content in files.items():
                (beside / name).write_bytes(content)

    def _exists(self) -> bool:
        return (self.path / "README.md").is_file()
