"""Frames that Kedro-Viz shows as pictures: scores of heads as heat maps, training histories as curves."""

from __future__ import annotations

from typing import Any

import pandas as pd
from kedro_datasets._typing import PlotlyPreview

from circuit_distillation.datasets.files import ParquetDataset

_GAP = 0.06  # between heat maps, as a share of the height


class HeadScoresDataset(ParquetDataset):
    """Scores of heads; previewed as one heat map a stage, layer 0 at the top."""

    def preview(self) -> PlotlyPreview:
        """A Plotly figure: a cell a head, the colours of each stage centred at 0."""
        frame = self.load()
        stages = list(frame["stage"].unique())
        height = (1 + _GAP) / len(stages) - _GAP
        data: list[dict[str, Any]] = []
        layout: dict[str, Any] = {"height": 80 + 190 * len(stages), "title": {"text": "Scores of heads"}}
        for place, stage in enumerate(stages):
            top = 1 - place * (height + _GAP)
            axis = "" if place == 0 else str(place + 1)
            data.append(_heat_map(frame[frame["stage"] == stage], stage, axis, top, height))
            layout[f"xaxis{axis}"] = {"anchor": f"y{axis}", "title": {"text": "head"}, "dtick": 1}
            layout[f"yaxis{axis}"] = {
                "domain": [max(top - height, 0), top],
                "autorange": "reversed",
                "title": {"text": f"{stage}, layer"},
            }
        return PlotlyPreview({"data": data, "layout": layout})


class HistoryDataset(ParquetDataset):
    """The history of a training run; previewed as curves over its steps."""

    def preview(self) -> PlotlyPreview:
        """A Plotly figure: cross-entropy, and CKA with its noise floor where the arm has pairs."""
        frame = self.load()
        names = [name for name in ("ce", "cka", "noise_floor") if frame[name].notna().any()]
        steps = frame["step"].tolist()
        data = [
            {"type": "scatter", "mode": "lines", "name": name, "x": steps, "y": _plain(frame[name])}
            for name in names
        ]
        layout = {
            "title": {"text": "Cross-entropy (nats) and CKA while training"},
            "xaxis": {"title": {"text": "step"}},
            "yaxis": {"rangemode": "tozero"},
        }
        return PlotlyPreview({"data": data, "layout": layout})


def _heat_map(rows: pd.DataFrame, stage: str, axis: str, top: float, height: float) -> dict[str, Any]:
    scores = rows.pivot(index="layer", columns="head", values="score")
    return {
        "type": "heatmap",
        "name": stage,
        "z": [_plain(row) for _, row in scores.iterrows()],
        "x": scores.columns.tolist(),
        "y": scores.index.tolist(),
        "xaxis": f"x{axis}",
        "yaxis": f"y{axis}",
        "zmid": 0,
        "colorscale": "RdBu",
        "reversescale": False,
        "colorbar": {"len": height, "y": top, "yanchor": "top"},
        "hovertemplate": "layer %{y}, head %{x}: %{z:.3f}<extra>" + stage + "</extra>",
    }


def _plain(values: pd.Series) -> list[float | None]:
    """Floats that JSON can hold."""
    return [None if pd.isna(value) else float(value) for value in values]
