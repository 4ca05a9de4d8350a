"""A Kedro dataset for what the teacher says about a split."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset

from circuit_distillation.datasets.reading import readable


class TeacherSignalsDataset(AbstractDataset):
    """`training.teacher_cache.TeacherSignals` as one safetensors file, whole or absent.

    Experiments share it: it holds what the last one needed, and is made anew for one that needs another.
    """

    is_cache = True  # see fingerprints.artifacts

    def __init__(self, filepath: str, metadata: dict | None = None) -> None:
        self._filepath = PurePosixPath(filepath)
        self.metadata = metadata

    def load(self):
        """The signals."""
        from circuit_distillation.training.teacher_cache import load_signals

        with readable(Path(self._filepath)):
            return load_signals(Path(self._filepath))

    def save(self, data) -> None:
        """Write beside, then rename."""
        from circuit_distillation.training.teacher_cache import save_signals

        save_signals(data, Path(self._filepath))

    def _exists(self) -> bool:
        return Path(self._filepath).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
