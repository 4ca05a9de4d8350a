"""Progress of a search: a bar with heads per second, and a file from which an interrupted search goes on."""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.storage.seals import is_usable
from circuit_distillation.storage.tensors import read_tensors, write_tensors

SAVE_EVERY_SECONDS = 20.0
LOG_EVERY_SECONDS = 30.0  # where a bar cannot overwrite itself


class Bar:
    """A progress bar over heads or circuits, with their rate and the time left; without `label` it is silent.

    One of the `total` counts once all of its `n_examples` are done.
    """

    def __init__(self, label: str | None, total: int, n_examples: int, unit: str = "head"):
        self._n_examples = n_examples
        self._bar = tqdm(
            total=total,
            desc=label,
            unit=unit,
            disable=label is None,
            mininterval=0.5 if sys.stderr.isatty() else LOG_EVERY_SECONDS,
            bar_format="{desc}: {percentage:3.0f}%|{bar:20}| {n:.0f}/{total} [{remaining} left, {rate_fmt}]",
        )

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def advance(self, n: float) -> None:
        """`n` pairs of a head (or circuit) and an example are done."""
        self._bar.update(n / self._n_examples)


class ScoreRecord:
    """Log-probability changes as they are found, `changes` [head, example], NaN where not yet.

    Entered and left by `score_heads`. With `path`, the changes found so far are in that file, whole or
    absent, at most SAVE_EVERY_SECONDS old, and when the block is left for any reason; a record with the same
    path and `key` starts from them. With `label`, a progress bar counts heads (over all examples).
    """

    def __init__(
        self,
        shape: tuple[int, int],
        dtype: torch.dtype,
        device: torch.device,
        *,
        path: Path | None = None,
        key: str = "",
        label: str | None = None,
    ):
        self._path, self._key, self._label = path, key, label
        self.changes = torch.full(shape, torch.nan, dtype=dtype, device=device)
        found = _read(path, key) if path is not None and is_usable(path) else None
        if found is not None and found.shape == self.changes.shape:
            self.changes.copy_(found)

    def __enter__(self) -> ScoreRecord:
        self._bar = Bar(self._label, *self.changes.shape)
        self._advance(self.changes)
        self._saved = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__()
        self._save()

    def to_do(self, heads: slice, rows: Tensor) -> bool:
        return bool(self.changes[heads, rows].isnan().any())

    def set(self, heads: slice, rows: Tensor, values: Tensor | float) -> None:
        """Enters changes, [head, row] or one number, of examples `rows`."""
        before = self.changes[heads, rows].isnan()
        self.changes[heads, rows] = values
        self._advance(self.changes[heads, rows].where(before, torch.nan))
        if self._path is not None and time.monotonic() - self._saved > SAVE_EVERY_SECONDS:
            self._save()

    def _advance(self, new: Tensor) -> None:
        self._bar.advance(int((~new.isnan()).sum()))

    def _save(self) -> None:
        self._saved = time.monotonic()
        if self._path is not None:
            write_tensors(self._path, {"changes": self.changes}, self._key)


def remove_records(folder: Path) -> None:
    """Deletes the records of a finished search, what a kill left of one half written, and the folder."""
    if folder.exists():
        for path in (*folder.glob("*.safetensors"), *folder.glob(".*.safetensors.*")):
            path.unlink()
        folder.rmdir()


@torch.no_grad()
def fingerprint(model: CausalLM, *parts: object) -> str:
    """Digest of a model's weights (sums of values and of absolute values) and of tensors and other values."""
    digest = hashlib.sha256()
    for name, weight in model.named_parameters():
        sums = torch.stack((weight.sum(dtype=torch.float64), weight.abs().sum(dtype=torch.float64)))
        digest.update(f"{name} {tuple(weight.shape)} {sums.tolist()}".encode())
    for part in parts:
        value = (tuple(part.shape), part.tolist()) if isinstance(part, Tensor) else part
        digest.update(repr(value).encode())
    return digest.hexdigest()


def _read(path: Path, key: str) -> Tensor | None:
    tensors, found = read_tensors(path)
    return tensors["changes"] if found == key else None
