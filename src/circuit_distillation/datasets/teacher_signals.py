"""A Kedro dataset for the teacher's labels and head outputs on a split."""

from __future__ import annotations

from circuit_distillation.datasets.reading import readable
from circuit_distillation.datasets.stored import StoredDataset


class TeacherSignalsDataset(StoredDataset):
    """`training.teacher_cache.TeacherSignals` as one safetensors file, whole or absent.

    Experiments share it: it holds what the last one needed, and is made again for one that needs more.
    """

    is_cache = True  # see fingerprints.artifacts

    def load(self):
        """The signals."""
        from circuit_distillation.training.teacher_cache import load_signals

        with readable(self.path):
            return load_signals(self.path)

    def save(self, data) -> None:
        """Write beside, then rename."""
        from circuit_distillation.training.teacher_cache import save_signals

        save_signals(data, self.path)
