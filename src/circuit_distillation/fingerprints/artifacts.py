"""Where a dataset stores its artifact, and the identity of its content."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from circuit_distillation.storage.seals import FOLDER_SEAL, checksum, seal_path


class Artifact(NamedTuple):
    """A file or folder. `scope` names a run's own part of a shared one; `pattern` is of many files.

    A cache holds whatever was needed last: what is made from it does not change when it is refilled.
    """

    path: Path
    scope: str = ""
    pattern: str = ""
    is_cache: bool = False

    @property
    def is_of_all_runs(self) -> bool:
        """Whether a node that reads it reads the files of all runs."""
        return bool(self.pattern or self.scope)

    @property
    def is_own(self) -> bool:
        """Whether only this run writes the file, so that its checksum identifies its content."""
        return not self.scope and not self.is_cache

    def changed_at(self) -> float:
        """Seconds since the epoch."""
        return self.path.stat().st_mtime


def artifact_of(dataset: Any) -> Artifact | None:
    """None for what is in memory alone."""
    if hasattr(dataset, "_filename_suffix"):
        return Artifact(Path(dataset._path), pattern=f"*{dataset._filename_suffix}")
    path = getattr(dataset, "_filepath", None)
    if path is None:
        return None
    scope = getattr(dataset, "_scope", None) or {}
    is_cache = getattr(dataset, "is_cache", False)
    return Artifact(Path(path), ".".join(map(str, scope.values())), is_cache=is_cache)


def content(artifact: Artifact) -> str | None:
    """A digest of what is stored, of a shared file or folder by all runs; None where nothing sealed is.

    Seals stand for what they seal, unless a file was changed after it was sealed.
    """
    path = artifact.path
    if artifact.pattern:
        return _of_all(sorted(path.rglob(artifact.pattern)), path)
    if path.is_dir():
        seal = path / FOLDER_SEAL
        if artifact.scope:  # a folder in it for each run
            return _of_all(sorted(path.rglob(FOLDER_SEAL)), path)
        return checksum(seal)[:16] if seal.is_file() else None
    return _of_file(path) if path.is_file() else None


def _of_file(path: Path) -> str:
    seal = seal_path(path)
    with suppress(FileNotFoundError):  # no seal, or another run is replacing both
        if seal.stat().st_mtime_ns >= path.stat().st_mtime_ns:
            return seal.read_text()[:16]
    return checksum(path)[:16]


def _of_all(paths: list[Path], root: Path) -> str:
    named = []
    for path in paths:
        with suppress(FileNotFoundError):  # another run is replacing its own
            named.append(f"{path.relative_to(root)} {_of_file(path)}")
    return hashlib.sha256("\n".join(named).encode()).hexdigest()[:16]
