"""Figures over training steps: the cross-entropy curves of Figure 5, and similarity with its noise floor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from circuit_distillation.arms import ARMS, PROPOSED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = (4.8, 3.2)  # inches; readable at the width of a phone
CE_ONLY = "circuit_ce"

STYLES = {
    CE_ONLY: ("CE only", "#b35000", "--"),
    PROPOSED: (ARMS[PROPOSED].row.loss, "#00508c", "-"),
}


def ce_figure(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Figure 5: the CE part of the loss over steps, of CE only and of CE + Align CKA.

    `histories` maps these arms to history frames of one student; an arm that is missing is not drawn.
    Faint: every step; bold: running mean over a twentieth of the steps.
    """
    figure, axes = new_axes()
    for arm, (label, colour, dash) in STYLES.items():
        if arm in histories:
            history = histories[arm]
            axes.plot(history["step"], history["ce"], color=colour, alpha=0.25, linewidth=0.8)
            axes.plot(
                history["step"], smoothed(history["ce"]), dash, color=colour, label=label, linewidth=1.8
            )
    axes.set(xlabel="Training step", ylabel="Cross-entropy, nats")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure


def similarity_figure(history: pd.DataFrame) -> Figure:
    """Similarity of every pair (thin), their mean (bold) and the floor of unrelated rows (dotted)."""
    figure, axes = new_axes()
    pairs = [name for name in history if re.fullmatch(r"similarity_\d+", name)]
    for i, name in enumerate(pairs):
        axes.plot(
            history["step"],
            smoothed(history[name]),
            color="#3f86c4",
            linewidth=0.8,
            label="Each pair" if i == 0 else None,
        )
    mean = smoothed(history["similarity"])
    axes.plot(history["step"], mean, color="#00305a", linewidth=2, label="Mean of pairs")
    if history["noise_floor"].notna().any():
        axes.plot(
            history["step"], history["noise_floor"], ":", color="#555555", linewidth=1.6, label="Noise floor"
        )
    axes.set(xlabel="Training step", ylabel=history["measure"].iloc[0], ylim=(0, 1.02))
    figure.legend(frameon=False, loc="outside upper center", ncols=3, fontsize=9)
    return figure


def smoothed(values: pd.Series) -> pd.Series:
    """Running mean over a twentieth of the steps, centred."""
    return values.rolling(max(1, len(values) // 20), center=True, min_periods=1).mean()


def new_axes(size: tuple[float, float] = SIZE):
    """An empty figure of `size` inches with one pair of axes, outside of pyplot's global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
