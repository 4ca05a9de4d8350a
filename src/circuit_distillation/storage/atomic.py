"""Write a file beside its place, then rename: readers see the old file or the new one, never half of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from filelock import FileLock

from circuit_distillation.storage.seals import seal_path


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path in the same folder and move the result to `path`.

    The temporary name ends otherwise, so that whoever looks for files by their ending does not find it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    beside = Path(name)
    try:
        write(beside)
        beside.chmod(0o644)  # mkstemp makes a file that only its owner can read
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def locked(path: Path) -> FileLock:
    """An exclusive lock beside `path`, to be held with `with`, so that two runs that add rows take turns.

    It ends with the process that holds it, however that ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.parent / f".{path.name}.lock")


def remove_leftovers(paths: Iterable[Path]) -> list[Path]:
    """Delete what killed saves of these files and folders left beside them; returns what was deleted.

    Everything is written under a hidden name that starts with its own (`.name.…`) and then renamed. Only for
    paths that no other run writes.
    """
    found = [
        beside
        for path in paths
        for beside in path.parent.glob(f".{path.name}.*")
        if beside not in (seal_path(path), path.with_name(f".{path.name}.lock")) and not _is_seal(beside)
    ]
    for beside in found:
        shutil.rmtree(beside) if beside.is_dir() else beside.unlink(missing_ok=True)
    return found


def _is_seal(path: Path) -> bool:
    """Whether a hidden file is the seal of something else that is there: tuned/.small.json.sha256 is not of
    the folder tuned/small."""
    sealed = path.with_name(path.stem.removeprefix("."))
    return path == seal_path(sealed) and sealed.exists()
