"""The records of what the artifacts of one student were made of."""

from __future__ import annotations

import json
from typing import Any

from circuit_distillation.datasets.stored import StoredDataset
from circuit_distillation.fingerprints.record import FOLDER


class FingerprintsDataset(StoredDataset):
    """Loads {path below `filepath`: record} of all records that match any of `patterns`; maybe none."""

    is_scratch = True  # it says how other inputs were made, and adds nothing to them

    def __init__(self, filepath: str, patterns: list[str], metadata: dict | None = None) -> None:
        super().__init__(filepath, metadata=metadata)
        self._patterns = patterns

    def load(self) -> dict[str, Any]:
        """The records as they are stored."""
        found = sorted({path for pattern in self._patterns for path in self.path.glob(pattern)})
        places = [path.relative_to(self.path) for path in found]
        names = [str(place.with_suffix("")).replace(f"{FOLDER}/", "") for place in places]
        return {name: json.loads(path.read_text()) for name, path in zip(names, found, strict=True)}

    def save(self, data: Any) -> None:
        """Records are written by the runner."""
        raise NotImplementedError("the runner writes a record beside each artifact")

    def _exists(self) -> bool:
        return True
