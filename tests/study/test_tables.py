"""Tables as Markdown."""

from __future__ import annotations

import pandas as pd

from circuit_distillation.study.tables import markdown


def test_cells_show_numbers_with_three_decimals_and_nothing_for_no_value():
    table = pd.DataFrame(
        {"text": ["x|y", None], "value": [-0.12345, float("inf")], "runs": [3, 9], "chosen": [True, False]}
    )
    assert markdown(table).splitlines() == [
        "| text | value | runs | chosen |",
        "| :--- | :--- | :--- | :--- |",
        "| x\\|y | −0.123 | 3 | yes |",
        "|  | nothing | 9 |  |",
    ]
