"""Tables that Kedro-Viz shows as figures: head scores as heat maps, training histories as curves."""

from __future__ import annotations

import json

import pandas as pd
from kedro_datasets._typing import PlotlyPreview

from circuit_distillation.datasets.files import FrameFile


class HeadScoresDataset(FrameFile):
    """Scores of heads; previewed as a heat map, a row a stage and layer, layer 0 of each stage at the top."""

    def preview(self) -> PlotlyPreview:
        """A Plotly figure: a cell a head, coloured by its share of the strongest score of its stage."""
        frame = self.load()
        strongest = frame.groupby("stage")["score"].transform(lambda scores: scores.abs().max() or 1.0)
        frame = frame.assign(
            row=frame["stage"] + ", layer " + frame["layer"].astype(str), share=frame["score"] / strongest
        )
        rows = list(dict.fromkeys(frame["row"]))
        shares, scores = (
            frame.pivot(index="row", columns="head", values=name).loc[rows] for name in ("share", "score")
        )
        cells = {
            "type": "heatmap",
            "z": _plain(shares),
            "text": [[f"{score:+.3f}" for score in row] for _, row in scores.iterrows()],
            "x": [f"head {head}" for head in shares.columns],
            "y": rows,
            "zmin": -1,
            "zmax": 1,
            "colorscale": "RdBu",
            "reversescale": True,
            "showscale": False,
            "hovertemplate": "%{y}, %{x}: %{text}<extra></extra>",
        }
        layout = {
            "title": {"text": "Scores of heads, stage by stage"},
            "yaxis": {"autorange": "reversed", "automargin": True},
        }
        return PlotlyPreview({"data": [cells], "layout": layout})


class HistoryDataset(FrameFile):
    """The history of a training run; previewed as curves over its steps."""

    def preview(self) -> PlotlyPreview:
        """A Plotly figure: cross-entropy, and similarity with its noise floor where the arm has pairs."""
        frame = self.load()
        names = [name for name in ("ce", "similarity", "noise_floor") if frame[name].notna().any()]
        steps = frame["step"].tolist()
        data = [
            {"type": "scatter", "mode": "lines", "name": name, "x": steps, "y": _plain(frame[name])}
            for name in names
        ]
        layout = {
            "title": {"text": "Cross-entropy (nats) and similarity while training"},
            "xaxis": {"title": {"text": "step"}},
            "yaxis": {"rangemode": "tozero"},
        }
        return PlotlyPreview({"data": data, "layout": layout})


def _plain(values: pd.Series | pd.DataFrame) -> list:
    """Numbers that JSON can hold: what is missing is null."""
    return json.loads(values.to_json(orient="values"))
