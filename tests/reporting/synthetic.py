"""Made-up predictions for the tests of the reporting functions."""

from __future__ import annotations

import numpy as np
import pandas as pd

LABELS = {"small": "Tiny-S", "medium": "Tiny-M", "large": "Tiny-L"}
CELLS = ("own", "seen", "unseen")


def predictions(
    task: str = "entity", accuracy: float = 0.7, seed: int = 0, n_groups: int = 12
) -> pd.DataFrame:
    """Predictions right on about `accuracy` of the examples, with a circuit right on fewer."""
    rng = np.random.default_rng(seed)
    per_group = 7 if task == "entity" else 6
    n = n_groups * per_group
    cells = ["box"] * n if task == "entity" else [CELLS[i % 3] for i in range(n)]
    states = rng.integers(0, 7, size=n)
    answers = ["unknown" if cell == "unseen" else f"thing{k}" for cell, k in zip(cells, states, strict=True)]
    full, circuit = rng.random(n) < accuracy, rng.random(n) < accuracy - 0.1
    frame = pd.DataFrame(
        {
            "example_id": [f"{task}-{i}" for i in range(n)],
            "group_id": [f"scene-{i // per_group}" for i in range(n)],
            "template": "plain",
            "cell": cells,
            "answer": answers,
        }
    )
    for part, correct in (("full", full), ("circuit", circuit)):
        frame[f"{part}_predicted"] = [a if c else "rubbish" for a, c in zip(answers, correct, strict=True)]
        frame[f"{part}_correct"] = correct
        frame[f"{part}_candidate_correct"] = correct | (rng.random(n) < 0.1)
    for k in range(3):
        frame[f"random_{k:02d}_correct"] = rng.random(n) < 0.05
    return frame
