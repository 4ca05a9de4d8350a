"""The answer as one figure: gains with their intervals, beside those of the paper.

`python -m circuit_distillation.reporting.gains CLAIMS.csv PICTURE.svg` draws the claims of a study.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from circuit_distillation.reporting.answer import TASK_NAMES
from circuit_distillation.reporting.curves import new_axes
from circuit_distillation.reporting.svg import TIP, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The shapes differ as well, so that colour is not needed.
_MARKS = {
    "better": ("o", "#00694c"),
    "worse": ("s", "#a30000"),
    "holds": ("o", "#00694c"),
    "does not hold": ("s", "#a30000"),
}
_UNDECIDED = ("D", "#545454")
_LABEL = 42  # characters of a label in a line
_NOT_ACCURACIES = ("faster_at_half", "lower_final_ce", "less_time")  # claims in nats and seconds


def gains_svg(rows: Sequence[Mapping[str, Any]], *, name: str, title: str, description: str) -> str:
    """A line a row: group, label, value, low and high (None: no interval), verdict, paper (None: not there).

    Values are differences of accuracy in [-1, 1]; rows of a group stand together, in the order given. `name`
    is unique in a page.
    """
    groups = list(dict.fromkeys(row["group"] for row in rows))
    labels = [textwrap.wrap(row["label"], _LABEL) for row in rows]
    figure, axes = new_axes((5.8, 0.9 + 0.27 * (len(groups) + sum(map(_room, labels)))))
    height, ticks = 0.0, []
    for group in groups:
        ticks.append((height, group))
        for row, lines in zip(rows, labels, strict=True):
            if row["group"] == group:
                height -= (1 + _room(lines)) / 2
                ticks.append((height, "\n".join(lines)))
                _draw(axes, row, height)
                height -= (_room(lines) - 1) / 2
        height -= 1
    axes.axvline(0, color="#1b1b1b", linewidth=0.8, zorder=1)
    axes.set_yticks([place for place, _ in ticks], [text for _, text in ticks], parse_math=False)
    for text in axes.get_yticklabels():
        text.set_weight("bold" if text.get_text() in groups else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="Difference of accuracy", ylim=(height + 0.3, 0.7))
    _legend(axes, [row["verdict"] for row in rows])
    return to_svg(figure, name=name, title=title, description=description, data={})


def study_rows(claims: pd.DataFrame) -> list[dict[str, Any]]:
    """The claims of a study that are differences of accuracy over its runs, as rows of `gains_svg`."""
    if claims.empty:
        return []  # no study is published
    of_runs = claims[(claims["unit"] == "run") & ~claims["claim"].isin(_NOT_ACCURACIES)]
    return [
        {
            "group": TASK_NAMES.get(row["task"], row["task"]),
            "label": row["statement"],
            **{name: row[name] for name in ("value", "low", "high", "verdict")},
            "paper": None if pd.isna(row["paper"]) else row["paper"],
        }
        for row in of_runs.to_dict("records")
    ]


def _room(lines: Sequence[str]) -> float:
    """The height of a row whose label has these lines, in rows of one line."""
    return 0.35 + 0.65 * len(lines)


def _draw(axes: Axes, row: Mapping[str, Any], height: float) -> None:
    shape, colour = _MARKS.get(row["verdict"], _UNDECIDED)
    if row["low"] is not None:
        axes.plot([row["low"], row["high"]], [height, height], color=colour, linewidth=2, zorder=2)
    if row["paper"] is not None:
        axes.plot(row["paper"], height, "|", color="#1b1b1b", markersize=11, markeredgewidth=1.6, zorder=3)
    (point,) = axes.plot(row["value"], height, shape, color=colour, markersize=6, zorder=4)
    paper = "" if row["paper"] is None else f"; in the paper {row['paper']:+.2f}"
    point.set_gid(f"{TIP}{row['group']}, {row['label']}: {row['value']:+.3f}, {row['verdict']}{paper}")


def _legend(axes: Axes, verdicts: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for verdict in dict.fromkeys(verdicts):
        shape, colour = _MARKS.get(verdict, _UNDECIDED)
        handles.append(Line2D([], [], marker=shape, color=colour, label=verdict))
    paper: dict[str, Any] = {"marker": "|", "color": "#1b1b1b", "markersize": 11, "markeredgewidth": 1.6}
    handles.append(Line2D([], [], linestyle="", label="the paper", **paper))
    axes.figure.legend(handles=handles, loc="outside upper left", ncols=4, frameon=False, fontsize=9)


def study_svg(claims: pd.DataFrame) -> str:
    """The claims of a study as a picture; empty where none is a difference of accuracy over its runs."""
    rows = study_rows(claims)
    title, words = "The paper's claims over many seeds", "Value, 95 % interval and verdict of each claim."
    return gains_svg(rows, name="claims", title=title, description=words) if rows else ""


def corners_svg(corners: pd.DataFrame) -> str:
    """What is aligned against which heads are paired, as a picture; empty without rows."""
    rows = [
        row | {name: None if pd.isna(row[name]) else row[name] for name in ("low", "high")} | {"paper": None}
        for row in corners.to_dict("records")
    ]
    title = "What is aligned, and which heads are paired"
    words = "Gain over cross-entropy on the same heads, mean over families with 95 % interval."
    return gains_svg(rows, name="corners", title=title, description=words) if rows else ""


if __name__ == "__main__":
    claims_path, picture = (Path(argument) for argument in sys.argv[1:])
    picture.write_text(study_svg(pd.read_csv(claims_path)), encoding="utf-8")
