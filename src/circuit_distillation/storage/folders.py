"""Folders that are whole or absent: written under a hidden name, sealed, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from circuit_distillation.storage.atomic import write_atomically
from circuit_distillation.storage.seals import FOLDER_SEAL, seal_folder, seal_path, sealing


@contextmanager
def new_folder(folder: Path, hidden_as: Path | None = None) -> Iterator[Path]:
    """A folder to write into; once all went well it is sealed and takes the place of `folder`.

    Meanwhile it is hidden beside `hidden_as`, by default `folder` itself, under a name that starts with its.
    """
    near = hidden_as or folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _hidden(near) as beside:
        yield beside
        seal_folder(beside)
        beside.chmod(0o755)  # mkdtemp makes a folder that only its owner can read
        _replace(beside, folder, near)


def link(source: Path, target: Path) -> None:
    """Store a file or folder under a second path too, with a new seal: hard links, or copies if needed."""
    if not source.is_dir():
        with sealing(target):
            write_atomically(target, lambda beside: _link(source, beside))
        return
    left_out = shutil.ignore_patterns(FOLDER_SEAL)  # it is written as a new file, not through a link
    with new_folder(target) as beside:
        shutil.copytree(source, beside, copy_function=_link, ignore=left_out, dirs_exist_ok=True)


def remove(path: Path) -> None:
    """Delete a file with its seal, or a folder; nothing if it is absent."""
    if path.is_dir():
        shutil.rmtree(path)
        return
    for file in (path, seal_path(path)):
        file.unlink(missing_ok=True)


def _link(source: str | Path, target: str | Path) -> None:
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@contextmanager
def _hidden(near: Path) -> Iterator[Path]:
    beside = Path(tempfile.mkdtemp(prefix=f".{near.name}.", dir=near.parent))
    try:
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _replace(source: Path, target: Path, near: Path) -> None:
    """Move `source` to `target`; an older target steps aside first, since a folder cannot be overwritten."""
    if not target.exists():
        os.replace(source, target)
        return
    with _hidden(near) as aside:
        os.replace(target, aside / "old")
        try:
            os.replace(source, target)
        except OSError:
            os.replace(aside / "old", target)
            raise
