"""Every student of a run that there is: a loader for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from circuit_distillation.datasets.checkpoint import CheckpointDataset
from circuit_distillation.datasets.stored import StoredDataset


class StudentsDataset(StoredDataset):
    """The checkpoints in one folder, which may be none."""

    def load(self) -> dict[str, Callable[[], Any]]:
        """Name, such as "small.circuit_ce", -> what loads that checkpoint."""
        found = [CheckpointDataset(str(folder)) for folder in sorted(self.path.glob("[!.]*.*"))]
        return {dataset.path.name: dataset.load for dataset in found if dataset.exists()}

    def save(self, data: Any) -> None:
        """Students are saved one by one."""
        raise NotImplementedError("students are saved one by one, each by its own name")

    def _exists(self) -> bool:
        return True
