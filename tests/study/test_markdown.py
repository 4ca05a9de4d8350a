"""Numbers and tables as text."""

from __future__ import annotations

from circuit_distillation.study.markdown import interval, markdown_table, number, signed


def test_numbers():
    assert (number(0.12345), number(-0.5, 1), number(None), number(float("nan"))) == ("0.123", "−0.5", "", "")
    assert number(float("inf")) == "nothing"
    assert (signed(0.5, 1), signed(-0.25, 2), signed(None)) == ("+0.5", "−0.25", "")
    assert interval(-0.1, 0.2) == "−0.100 to +0.200" and interval(None, None) == ""


def test_a_table_keeps_its_columns_whatever_the_text():
    table = markdown_table([{"a": "x|y", "b": "1"}, {"a": "z", "b": "2"}])
    assert table.splitlines() == ["| a | b |", "|:---|:---|", "| x\\|y | 1 |", "| z | 2 |"]
    assert markdown_table([]) == ""
