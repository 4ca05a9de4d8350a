"""Storing and laying out examples."""

from __future__ import annotations

import pandas as pd
import pytest

from circuit_distillation.tasks import get_task
from circuit_distillation.tasks.example import from_frame, lay_out, to_frame


@pytest.mark.parametrize("name", ["entity", "tom"])
def test_examples_survive_parquet(name, tmp_path):
    task = get_task(name)
    examples = task.generate(5, 0)
    to_frame(examples).to_parquet(tmp_path / "examples.parquet")
    again = from_frame(pd.read_parquet(tmp_path / "examples.parquet"))
    assert again == examples
    assert task.corrupt(again, 0) == task.corrupt(examples, 0)


def test_no_examples_make_an_empty_frame():
    assert from_frame(to_frame([])) == []


def test_a_frame_of_something_else_is_refused():
    frame = to_frame(get_task("entity").generate(1, 0)).drop(columns=["spans", "cell"])
    with pytest.raises(ValueError, match="column cell, spans is missing"):
        from_frame(frame)


def test_spans_count_characters():
    text, spans = lay_out(["The ", ("thing", "apple"), " is in ", ("place", "Q"), "."])
    assert text == "The apple is in Q." and spans == {"thing": (4, 9), "place": (16, 17)}
