"""What Kedro-Viz shows of stored frames: heat maps, curves and tables, all plain JSON."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pandas as pd

from circuit_distillation.datasets.drawn import HeadScoresDataset, HistoryDataset
from circuit_distillation.datasets.files import CSVDataset, ParquetDataset

SCORES = pd.DataFrame(
    [(layer, head, stage, layer - head, 0.1) for stage in "ab" for layer in (0, 1) for head in range(3)],
    columns=["layer", "head", "stage", "score", "stderr"],
)


def saved(kind, folder, frame):
    dataset = kind(filepath=str(folder / "frame"))
    dataset.save(frame)
    return dataset


def kind_of_preview(dataset) -> str:
    """As Kedro-Viz finds it."""
    annotation = inspect.signature(dataset.preview).return_annotation
    return getattr(annotation, "__name__", str(annotation))


def test_scores_of_heads_are_a_heat_map_with_rows_by_stage_and_layer(tmp_path):
    dataset = saved(HeadScoresDataset, tmp_path, SCORES)
    figure = json.loads(json.dumps(dataset.preview(), allow_nan=False))
    assert kind_of_preview(dataset) == "PlotlyPreview"
    (cells,) = figure["data"]
    assert cells["y"] == ["a, layer 0", "a, layer 1", "b, layer 0", "b, layer 1"]
    assert cells["z"][3] == [0.5, 0, -0.5] and cells["text"][3] == ["+1.000", "+0.000", "-1.000"]


def test_a_history_is_curves_over_its_steps(tmp_path):
    history = pd.DataFrame(
        {"step": [1, 2], "ce": [2.0, 1.0], "similarity": [0.5, np.nan], "noise_floor": np.nan}
    )
    dataset = saved(HistoryDataset, tmp_path, history)
    figure = json.loads(json.dumps(dataset.preview(), allow_nan=False))
    assert kind_of_preview(dataset) == "PlotlyPreview"
    assert {trace["name"]: trace["y"] for trace in figure["data"]} == {
        "ce": [2, 1],
        "similarity": [0.5, None],
    }


def test_tables_with_lists_and_gaps_are_plain_json(tmp_path):
    frame = pd.DataFrame({"words": [np.array(["a", "b"]), np.array(["c"])], "value": [1.0, np.nan]})
    dataset = saved(ParquetDataset, tmp_path, frame)
    table = json.loads(json.dumps(dataset.preview(nrows=2), allow_nan=False))
    assert kind_of_preview(dataset) == "TablePreview"
    assert table["columns"] == ["words", "value"] and table["data"] == [[["a", "b"], 1.0], [["c"], None]]


def test_a_table_of_the_report_shows_as_many_rows_as_asked_for(tmp_path):
    dataset = saved(CSVDataset, tmp_path, pd.DataFrame({"model": ["S", "M", "L"]}))
    assert dataset.preview(nrows=2)["data"] == [["S"], ["M"]]
