"""Loading of stored artifacts: a file that is cut off or changed is one line that names it and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kedro.io.core import DatasetError
from safetensors import SafetensorError

from circuit_distillation.storage.errors import first_line
from circuit_distillation.storage.seals import BrokenArtifactError, broken, check, is_sealed


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Check the seal of what is loaded in here, and name the file where it cannot be read.

    `BrokenArtifactError` with the remedy; RuntimeError where the checksum holds: the file is sound then.
    """
    check(path)
    try:
        yield
    except (BrokenArtifactError, FileNotFoundError):
        raise
    except (DatasetError, OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        cause = error.__cause__ if isinstance(error, DatasetError) else error
        if isinstance(cause, FileNotFoundError):
            raise
        why = f"cannot be read ({first_line(cause)})"
        if is_sealed(path):
            raise RuntimeError(f"{path} {why}; its checksum holds: the fault is elsewhere") from error
        raise broken(path, why) from None
