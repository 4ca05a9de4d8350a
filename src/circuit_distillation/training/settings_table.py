"""A table of the settings of each arm, to read before a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from circuit_distillation.arms import ARMS
from circuit_distillation.training.distillation_settings import DistillationSettings

OF_ALL = ("arm", "rate", "epochs", "steps", "batch", "trained", "label loss")
HEADINGS = (*OF_ALL, "lambda", "similarity, HSIC, over pairs", "rows", "pairs")


def settings_table(arms: Mapping[str, DistillationSettings], n_train: int) -> str:
    """A line for each arm; `n_train` examples are trained on."""
    rows = [HEADINGS, *(_row(name, settings, n_train) for name, settings in arms.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _row(name: str, settings: DistillationSettings, n_train: int) -> tuple[str, ...]:
    arm, aligned = ARMS[name], settings.alignment
    loss = "none" if settings.loss == "none" else f"{settings.loss}, {settings.labels} labels"
    counts = (settings.epochs, settings.steps(n_train), settings.examples_per_step)
    own = (f"{settings.learning_rate:g}", *map(str, counts), arm.trained, loss)
    if aligned is None:
        return name, *own, "", "", "", ""
    kind = f"{aligned.similarity}, {aligned.estimator}, {aligned.pair_reduction}"
    return name, *own, f"{aligned.cka_weight:g}", kind, aligned.rows, f"{arm.pairs} {arm.sites}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join(cells).rstrip()
