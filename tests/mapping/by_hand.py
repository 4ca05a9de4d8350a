"""Effects and circuits of two models of four heads, small enough to follow by hand."""

from __future__ import annotations

import pandas as pd

from circuit_distillation.mapping.effects import Effects

EXAMPLES = ["e-1", "e-2", "e-3", "e-4"]
GROUPS = {"e-1": "s-1", "e-2": "s-1", "e-3": "s-2", "e-4": "s-2"}
# Log-probabilities by head and example. Drops from the base's mean -1: 0.5, 0, 0.25, 0.125.
STUDENT_BASE = [-1.0, -1.0, -1.0, -1.0]
STUDENT = {
    (0, 0): [-1.5, -1.5, -1.5, -1.5],
    (0, 1): [-1.0, -1.0, -1.0, -1.0],
    (1, 0): [-1.5, -1.0, -1.5, -1.0],
    (1, 1): [-1.0, -1.25, -1.0, -1.25],
}
# Drops from the student's mean -1: 0.5, 0.25, 0.0, -0.25; from the teacher's own mean -0.5: 0.5 more each.
TEACHER_BASE = [-0.5, -0.5, -0.5, -0.5]
TEACHER = {
    (0, 0): [-1.5, -1.5, -1.5, -1.5],
    (0, 1): [-1.0, -1.5, -1.0, -1.5],
    (1, 0): [-1.25, -0.75, -1.25, -0.75],
    (1, 1): [-0.75, -0.75, -0.75, -0.75],
}
CIRCUITS = (
    {
        "role": "small",
        "heads": [[1, 1]],
        "model_hash": "aa",
        "stages": {"fetcher": [[1, 0]], "reader": [[1, 1]], "detector": [[0, 0]]},
    },
    {
        "role": "large",
        "heads": [[1, 0], [0, 1], [0, 0]],
        "model_hash": "bb",
        "stages": {"fetcher": [[0, 1]], "reader": [[1, 0], [0, 0]]},
    },
)
ANCESTRY = {(0, 0): (1, 1), (1, 0): (0, 0)}


def frame(base: list[float], heads: dict, column: str = "log_prob") -> pd.DataFrame:
    """Rows as `ablation_frames` stores them, in no helpful order."""
    rows = [
        {"layer": layer, "head": head, "example_id": name, "group_id": GROUPS[name], column: value}
        for (layer, head), values in {(-1, -1): base, **heads}.items()
        for name, value in zip(EXAMPLES, values, strict=True)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=3)


def effects(column: str = "log_prob") -> tuple[Effects, Effects]:
    return (
        Effects.from_frame(frame(STUDENT_BASE, STUDENT, column)),
        Effects.from_frame(frame(TEACHER_BASE, TEACHER, column)),
    )
