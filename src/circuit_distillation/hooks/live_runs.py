"""Which runs are at work on a data folder, and on which files: no two may write the same one.

Every run keeps a record under `{data_root}/.runs` and a lock beside it, which ends with the process: a free
lock shows that the run of a record was killed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from circuit_distillation.storage.atomic import locked


class BusyError(RuntimeError):
    """Another run is at work on the same files."""


class LiveRun(NamedTuple):
    """A run that is entered in the folder of runs until it leaves; `alone`: no other was at work then."""

    record: Path
    lock: FileLock
    alone: bool

    def leave(self) -> None:
        """Take the entry back."""
        with locked(self.record.with_name("all")):
            _remove(self.record, self.lock)


def enter(data_root: Path, what: str, reads: Iterable[str], writes: Iterable[str]) -> LiveRun:
    """Enter a run. `BusyError` names a run that uses what this one would write, or writes what it would read.

    `what` says in a few words what the run is, for the other's message.
    """
    record = {"pid": os.getpid(), "started": time.strftime("%H:%M:%S"), "what": what}
    record |= {"reads": sorted(reads), "writes": sorted(writes)}
    folder = data_root / ".runs"
    with locked(folder / "all"):
        others = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json")) if _is_alive(path)]
        for other in others:
            _refuse_conflict(record, other, data_root)
        path = folder / f"{os.getpid()}-{time.time_ns()}.json"
        run = LiveRun(path, FileLock(path.with_suffix(".lock")), alone=not others)
        run.lock.acquire()
        path.write_text(json.dumps(record))
    return run


def _is_alive(record: Path) -> bool:
    """Whether the run of a record is at work; what a killed one left is deleted."""
    lock = FileLock(record.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    _remove(record, lock)
    return False


def _remove(record: Path, lock: FileLock) -> None:
    record.unlink(missing_ok=True)
    Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def _refuse_conflict(ours: dict[str, Any], theirs: dict[str, Any], data_root: Path) -> None:
    written, read = set(ours["writes"]), set(ours["reads"])
    shared = written & {*theirs["writes"], *theirs["reads"]} | read & set(theirs["writes"])
    if shared:
        raise BusyError(
            f"another run ({theirs['what']}, process {theirs['pid']}, since {theirs['started']}) is at work "
            f"on {len(shared)} of the same files in {data_root}, such as {Path(min(shared)).name}: "
            "wait for it, or choose another seed, experiment or data_root"
        )
