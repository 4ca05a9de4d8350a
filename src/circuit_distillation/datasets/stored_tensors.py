"""A Kedro dataset for tensors by name."""

from __future__ import annotations

from circuit_distillation.datasets.reading import readable
from circuit_distillation.datasets.stored import StoredDataset


class TensorsDataset(StoredDataset):
    """Tensors by name as one safetensors file, whole or absent."""

    def load(self):
        """Name -> tensor, on the CPU."""
        from circuit_distillation.storage.tensors import read_tensors

        with readable(self.path):
            return read_tensors(self.path)[0]

    def save(self, data) -> None:
        """Write beside, then rename."""
        from circuit_distillation.storage.tensors import write_tensors

        write_tensors(self.path, data)
