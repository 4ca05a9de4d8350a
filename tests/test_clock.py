"""Clocks that are set back harm nothing: durations come from one that cannot be."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "circuit_distillation"
# When an artifact was made, to be read by people and compared where nothing better is known.
DATES = {"fingerprints/record.py", "hooks/live_runs.py"}


def test_no_duration_is_taken_from_a_clock_that_can_be_set() -> None:
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "time.time",
                "time.time_ns",
                "datetime.now",
                "datetime.datetime.now",
            ):
                found.add(str(path.relative_to(SOURCE)))
    assert found == DATES
