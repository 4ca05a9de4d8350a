"""Which runs are at work on a data folder, and on which files: no two may write the same one.

Every run has a file under `{data_root}/.runs`, held by a lock that ends with the process: the file of a
killed run is known by its free lock, whatever number its process had.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from circuit_distillation.storage.seals import seal_path


class BusyError(RuntimeError):
    """Another run is at work on the same files."""


class LiveRun:
    """A run that is entered in the folder of runs until it leaves."""

    def __init__(self, path: Path, handle: IO[str], alone: bool) -> None:
        self._path, self._handle = path, handle
        self.alone = alone  # whether no other run was at work in this data folder

    def leave(self) -> None:
        """Take the entry back."""
        self._path.unlink(missing_ok=True)
        self._handle.close()


def enter(data_root: Path, what: str, reads: Iterable[str], writes: Iterable[str]) -> LiveRun:
    """Enter a run. `BusyError` names a run that uses what this one would write, or writes what it would read.

    `what` says in a few words what the run is, for the other's message.
    """
    record = {"pid": os.getpid(), "started": time.strftime("%H:%M:%S"), "what": what}
    record |= {"reads": sorted(reads), "writes": sorted(writes)}
    folder = data_root / ".runs"
    folder.mkdir(parents=True, exist_ok=True)
    with _mutex(folder):
        others = _living(folder)
        for other in others:
            _refuse_conflict(record, other, data_root)
        path = folder / f"{os.getpid()}-{time.time_ns()}.json"
        handle = open(path, "w", encoding="utf-8")  # noqa: SIM115 (held until the run leaves)
        fcntl.flock(handle, fcntl.LOCK_EX)
        json.dump(record, handle)
        handle.flush()
    return LiveRun(path, handle, alone=not others)


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


@contextmanager
def _mutex(folder: Path):
    with open(folder / ".mutex", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _living(folder: Path) -> list[dict[str, Any]]:
    """The records of runs at work; entries of runs that were killed are deleted."""
    records = []
    for path in sorted(folder.glob("*.json")):
        with suppress(FileNotFoundError), open(path, encoding="utf-8") as handle:  # it may end meanwhile
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                records.append(json.load(handle))
            else:
                path.unlink()
    return records


def _refuse_conflict(ours: dict[str, Any], theirs: dict[str, Any], data_root: Path) -> None:
    written, read = set(ours["writes"]), set(ours["reads"])
    shared = written & {*theirs["writes"], *theirs["reads"]} | read & set(theirs["writes"])
    if shared:
        raise BusyError(
            f"another run ({theirs['what']}, process {theirs['pid']}, since {theirs['started']}) is at work "
            f"on {len(shared)} of the same files in {data_root}, such as {Path(min(shared)).name}: "
            "wait for it, or choose another seed, experiment or data_root"
        )
