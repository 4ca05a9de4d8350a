"""Figures of heads: their scores in a stage, and the mapping of student heads onto teacher heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from circuit_distillation.heads import Head
from circuit_distillation.reporting.curves import new_axes
from circuit_distillation.reporting.svg import PASSIVE, TIP

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure


# Units of the mapping picture: the width of a grid of heads and where the teacher's begins.
_WIDTH, _TEACHER_LEFT = 7.0, 11.5
# Colours of pairs: dark enough for lines on white, distinguishable with any colour vision.
_COLOURS = ("#00508c", "#b35000", "#00694c", "#9c2f6f", "#5b4b00", "#3d3d3d", "#a30000", "#5a3fa0")


def score_figure(scores: pd.DataFrame, circuit: Mapping[Head, str]) -> Figure:
    """Heat map of one stage: a cell a head, layer 0 at the top; the heads of the circuit are outlined.

    `scores` holds layer, head and score (and stderr) of one stage, `circuit` the stage of every head in the
    circuit.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import TwoSlopeNorm

    reach = float(scores["score"].abs().max()) or 1.0
    colours = ScalarMappable(TwoSlopeNorm(0, -reach, reach), "RdBu")
    return _heat_map(scores, "score", colours, circuit, "Score", _score_text)


def stability_figure(heads: pd.DataFrame, circuit: Mapping[Head, str]) -> Figure:
    """Heat map of the share of redrawn prompts with which each head enters the circuit; it is outlined.

    `heads` are the rows of `circuits.stability` of a head in whatever stage.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    colours = ScalarMappable(Normalize(0, 1), "Blues")
    return _heat_map(heads, "redraws", colours, circuit, "Share of redraws", _stability_text)


def _heat_map(
    rows: pd.DataFrame,
    column: str,
    colours: ScalarMappable,
    circuit: Mapping[Head, str],
    label: str,
    text: Callable[[Head, Mapping[str, Any], Mapping[Head, str]], str],
) -> Figure:
    from matplotlib.patches import Rectangle

    n_layers, n_heads = grid(rows)
    figure, axes = new_axes((4.8, 0.8 + 3.3 * min(n_layers / n_heads, 1.6)))
    for row in rows.to_dict("records"):
        head = (int(row["layer"]), int(row["head"]))
        cell = Rectangle(
            (head[1] - 0.5, head[0] - 0.5),
            1,
            1,
            facecolor=colours.to_rgba(row[column]),
            edgecolor="#d0d0d0",
            linewidth=0.5,
        )
        cell.set_gid(TIP + text(head, row, circuit))
        axes.add_patch(cell)
    for of_layer, of_head in circuit:
        outline = Rectangle(
            (of_head - 0.44, of_layer - 0.44), 0.88, 0.88, fill=False, edgecolor="black", linewidth=1.6
        )
        outline.set_gid(PASSIVE)
        axes.add_patch(outline)
    _ticks(axes, n_layers, n_heads)
    axes.set(xlim=(-0.5, n_heads - 0.5), ylim=(n_layers - 0.5, -0.5))
    figure.colorbar(colours, ax=axes, label=label)
    return figure


def mapping_figure(
    record: Mapping[str, Any],
    student_grid: tuple[int, int],
    teacher_grid: tuple[int, int],
    names: tuple[str, str],
    roles: Mapping[Head, str],
) -> Figure:
    """Student heads left, teacher heads right, a line a pair; dotted grey: the random control pairs.

    Layers are named at the sides, paired heads above their points. The grids are (layers,
    heads), layer 0 at the bottom, as the residual stream runs. `names` are the labels of both models, `roles`
    the stage of each teacher circuit head.
    """
    n_layers = max(student_grid[0], teacher_grid[0])
    figure, axes = new_axes((5.2, min(1.4 + 0.42 * n_layers, 9)))
    places = {
        "student": _placer(student_grid, left=0.0),
        "teacher": _placer(teacher_grid, left=_TEACHER_LEFT),
    }
    for side, shape in (("student", student_grid), ("teacher", teacher_grid)):
        points = [places[side](layer, head) for layer in range(shape[0]) for head in range(shape[1])]
        axes.scatter(*zip(*points, strict=True), s=12, color="#8a8a8a", zorder=1)
        for layer in range(shape[0]):
            edge = -0.5 if side == "student" else _TEACHER_LEFT + _WIDTH + 0.5
            near = {"ha": "right" if side == "student" else "left", "va": "center", "fontsize": 9}
            axes.text(edge, layer, f"L{layer}", color="#545454", **near)
    for pair in record["random_pairs"]:
        axes.plot(*_line(pair, places), ":", color="#777777", linewidth=1, zorder=2)
    _draw_pairs(axes, record["pairs"], places, roles)
    for left, name in ((_WIDTH / 2, names[0]), (_TEACHER_LEFT + _WIDTH / 2, names[1])):
        axes.text(left, n_layers + 0.2, name, ha="center", weight="bold", parse_math=False)
    axes.set(xlim=(-1.6, _TEACHER_LEFT + _WIDTH + 1.6), ylim=(-0.6, n_layers + 0.8))
    axes.axis("off")
    return figure


def _draw_pairs(
    axes: Axes, pairs: Sequence[Mapping[str, Any]], places: Mapping, roles: Mapping[Head, str]
) -> None:
    colours = _colours(pairs)
    for pair in pairs:
        colour = colours[tuple(pair["teacher"])]
        xs, ys = _line(pair, places)
        axes.plot(xs, ys, "-", color=colour, linewidth=1.8, zorder=3)
        for x, y in zip(xs, ys, strict=True):
            (point,) = axes.plot(x, y, "o", color=colour, markersize=8, zorder=4)
            point.set_gid(TIP + _pair_text(pair, roles))
    for side, place in places.items():
        for layer, head in sorted({tuple(pair[side]) for pair in pairs}):
            at, offset = place(layer, head), "offset points"
            axes.annotate(f"H{head}", at, xytext=(0, 7), textcoords=offset, ha="center", fontsize=9)


def _line(pair: Mapping[str, Any], places: Mapping) -> tuple[tuple[float, float], tuple[float, float]]:
    """The x and the y of both ends of a pair."""
    ends = [places[side](*pair[side]) for side in ("student", "teacher")]
    return (ends[0][0], ends[1][0]), (ends[0][1], ends[1][1])


def circuit_roles(circuit: Mapping[str, Any]) -> dict[Head, str]:
    """The stages of every head of a stored circuit in words; a head without a stage is "in the circuit"."""
    roles: dict[Head, list[str]] = {(int(layer), int(head)): [] for layer, head in circuit["heads"]}
    for stage, heads in circuit["stages"].items():
        for layer, head in heads:
            roles[int(layer), int(head)].append(stage_name(stage))
    return {head: ", ".join(stages) or "in the circuit" for head, stages in roles.items()}


def stage_name(stage: str) -> str:
    """A stage as a heading: "value_fetcher" is "Value fetcher"."""
    return stage.replace("_", " ").capitalize()


def grid(scores: pd.DataFrame) -> tuple[int, int]:
    """(layers, heads) of the model whose heads were scored."""
    return int(scores["layer"].max()) + 1, int(scores["head"].max()) + 1


def _placer(shape: tuple[int, int], left: float):
    """Where to draw (layer, head), from `left` on; a unit a layer."""
    step = _WIDTH / max(shape[1] - 1, 1)
    return lambda layer, head: (left + head * step, float(layer))


def _colours(pairs: Sequence[Mapping[str, Any]]) -> dict[Head, str]:
    """One colour a teacher head, so that students that share one are seen to."""
    teachers = sorted({tuple(pair["teacher"]) for pair in pairs})
    return {head: _COLOURS[i % len(_COLOURS)] for i, head in enumerate(teachers)}


def _score_text(head: Head, row: Mapping[str, Any], circuit: Mapping[Head, str]) -> str:
    error = row.get("stderr")
    spread = "" if error is None or pd.isna(error) else f" ± {error:.3f}"
    role = circuit.get(head, "not in the circuit")
    return f"Layer {head[0]}, head {head[1]}: score {row['score']:+.3f}{spread}, {role}"


def _stability_text(head: Head, row: Mapping[str, Any], circuit: Mapping[Head, str]) -> str:
    templates = "" if pd.isna(row["templates"]) else f", {row['templates']:.0%} of templates"
    return (
        f"Layer {head[0]}, head {head[1]}: in {row['redraws']:.0%} of redraws, {row['limits']:.0%} of limits"
        f"{templates}; {circuit.get(head, 'not in the circuit')}"
    )


def _pair_text(pair: Mapping[str, Any], roles: Mapping[Head, str]) -> str:
    student, teacher = pair["student"], pair["teacher"]
    return (
        f"Student layer {student[0]}, head {student[1]} (impact {pair['student_impact']:+.3f}) and "
        f"teacher layer {teacher[0]}, head {teacher[1]} (impact {pair['teacher_impact']:+.3f}, "
        f"{roles.get(tuple(teacher), 'not in the circuit')})"
    )


def _ticks(axes: Axes, n_layers: int, n_heads: int) -> None:
    axes.set(xlabel="Head", ylabel="Layer")
    axes.set_xticks(range(0, n_heads, -(-n_heads // 8)))
    axes.set_yticks(range(0, n_layers, -(-n_layers // 8)))
    axes.spines[:].set_visible(False)
