"""Tables as Kedro-Viz shows them."""

from __future__ import annotations

import json

import pandas as pd
from kedro_datasets._typing import TablePreview


def table_preview(frame: pd.DataFrame, nrows: int) -> TablePreview:
    """The first rows as plain JSON: columns, index, data. What is missing is null, arrays are lists."""
    return TablePreview(json.loads(frame.head(nrows).to_json(orient="split")))
