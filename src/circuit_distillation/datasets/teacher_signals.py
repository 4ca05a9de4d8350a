"""A Kedro dataset for what the teacher says about a split."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset

from circuit_distillation.datasets.reading import readable
from circuit_distillation.models.seals import sealing


class TeacherSignalsDataset(AbstractDataset):
    """`training.teacher_cache.TeacherSignals` as one safetensors file, whole or absent.

    A file older than the checkpoint folder `teacher` counts as missing, so that --only-missing-outputs
    renews it.
    """

    def __init__(self, filepath: str, teacher: str | None = None, metadata: dict | None = None) -> None:
        self._filepath = PurePosixPath(filepath)
        self._teacher = Path(teacher) if teacher else None
        self.metadata = metadata

    def load(self):
        """The signals."""
        from circuit_distillation.training.teacher_cache import load_signals

        with readable(Path(self._filepath)):
            return load_signals(Path(self._filepath))

    def save(self, data) -> None:
        """Write beside, then rename."""
        from circuit_distillation.training.teacher_cache import save_signals

        with sealing(Path(self._filepath)):
            save_signals(data, Path(self._filepath))

    def _exists(self) -> bool:
        path = Path(self._filepath)
        if not path.is_file():
            return False
        weights = self._teacher.glob("*.safetensors") if self._teacher else ()
        return all(path.stat().st_mtime_ns >= file.stat().st_mtime_ns for file in weights)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
