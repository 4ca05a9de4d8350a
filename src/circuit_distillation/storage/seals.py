"""Checksums of stored artifacts, so that a file that was cut off or changed is noticed before it is used.

The seal of a file is `.{name}.sha256` beside it; the seal of a folder is `checksums.json` inside it. What has
no seal (made elsewhere, or by a save that was killed before its end) is taken as it is.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

FOLDER_SEAL = "checksums.json"
logger = logging.getLogger(__name__)


class BrokenArtifactError(ValueError):
    """A stored artifact that is not what was written."""


def seal_path(path: Path) -> Path:
    """Where the seal of a file is."""
    return path.with_name(f".{path.name}.sha256")


@contextmanager
def sealing(path: Path) -> Iterator[None]:
    """Seal a file that is replaced in here; the old seal goes first: no seal is ever of another file."""
    seal = seal_path(path)
    aside = seal.with_name(f"{seal.name}.old")
    if seal.is_file():
        os.replace(seal, aside)
    try:
        yield
    except BaseException:
        if aside.is_file():  # a failed save has left the old file, and maybe no room to write its seal again
            os.replace(aside, seal)
        raise
    aside.unlink(missing_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(checksum(path))
    os.replace(beside, seal)


def seal_folder(folder: Path) -> None:
    """Write the checksums of all files of a folder into it."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != FOLDER_SEAL)
    (folder / FOLDER_SEAL).write_text(json.dumps({path.name: checksum(path) for path in files}, indent=1))


def check(path: Path) -> None:
    """`BrokenArtifactError` with one line unless a file or folder is what was sealed."""
    if path.is_dir():
        _check_folder(path)
    elif path.is_file() and seal_path(path).is_file() and checksum(path) != seal_path(path).read_text():
        raise broken(path, "is not what was written (its checksum differs)")


def is_sealed(path: Path) -> bool:
    """Whether there is a checksum of a file or folder."""
    return (path / FOLDER_SEAL if path.is_dir() else seal_path(path)).is_file()


def is_usable(path: Path) -> bool:
    """Whether unfinished work in a file can be gone on with; a broken one is deleted, which is logged."""
    try:
        check(path)
    except BrokenArtifactError:
        logger.warning("%s is not what was written: this work begins anew", path)
        path.unlink()
        seal_path(path).unlink()
    return path.is_file()


def broken(path: Path, why: str) -> BrokenArtifactError:
    """One line about a file or folder that cannot be used, with the remedy."""
    return BrokenArtifactError(
        f"{path} {why}: delete it, and the same command with --only-missing-outputs makes it again"
    )


def _check_folder(folder: Path) -> None:
    seal = folder / FOLDER_SEAL
    if not seal.is_file():
        return
    try:
        wanted = json.loads(seal.read_text())
    except ValueError:
        raise broken(folder, f"has a broken {FOLDER_SEAL}") from None
    for name, digest in wanted.items():
        if not (folder / name).is_file():
            raise broken(folder, f"lacks {name}")
        if checksum(folder / name) != digest:
            raise broken(folder, f"is not what was written (the checksum of {name} differs)")


def checksum(path: Path) -> str:
    """SHA-256 of a file as it is now, computed once a process for each version of it."""
    status = path.stat()
    return _sha256(str(path), status.st_mtime_ns, status.st_size, status.st_ino)


@lru_cache(maxsize=4096)
def _sha256(path: str, *_version: int) -> str:
    """The checksum of this version of a file, computed once a process."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
