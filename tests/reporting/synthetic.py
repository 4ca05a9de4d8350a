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


def history(arm: str, seed: int = 0, n_steps: int = 40) -> pd.DataFrame:
    """A training history of an arm; similarity and its noise floor only where the arm has pairs."""
    rng = np.random.default_rng(seed)
    steps = np.arange(n_steps)
    frame = pd.DataFrame({"step": steps, "ce": 1.5 * np.exp(-steps / 20) + 0.05 * rng.random(n_steps)})
    frame["similarity"], frame["noise_floor"], frame["measure"] = np.nan, np.nan, ""
    if "cka" in arm:
        for k in range(2):
            frame[f"similarity_{k}"] = np.linspace(0.5, 0.9 - 0.1 * k, n_steps)
        frame["similarity"] = frame[["similarity_0", "similarity_1"]].mean(axis=1)
        frame["noise_floor"], frame["measure"] = 0.45, "CKA"
    return frame


def scores(n_layers: int, n_heads: int, stages: tuple[str, ...], seed: int = 0) -> pd.DataFrame:
    """A score for every head in every stage."""
    rng = np.random.default_rng(seed)
    rows = [(la, h, s, -rng.random(), 0.01) for s in stages for la in range(n_layers) for h in range(n_heads)]
    return pd.DataFrame(rows, columns=["layer", "head", "stage", "score", "stderr"])


def stability() -> pd.DataFrame:
    """Of a teacher with one head that enters with some prompts only."""
    frame = scores(3, 4, ("any",)).assign(redraws=0.0, limits=0.0, templates=0.5)
    frame.loc[frame["layer"] == 2, "redraws"] = 1.0
    frame.loc[3, "redraws"] = 0.4
    return frame


def run_inputs() -> dict[str, dict]:
    """What `run_figures` draws: two students with a mapping each, a teacher, four histories."""
    stages = ("value_fetcher", "structure_reader")
    circuit = {"heads": [[2, 1], [1, 3]], "stages": {"value_fetcher": [[2, 1]], "structure_reader": [[1, 3]]}}
    pairs = [
        {"student": [1, h], "teacher": [2, 1], "student_impact": 0.2, "teacher_impact": 0.3, "distance": 0.1}
        for h in range(3)
    ]
    mapping = {
        "rule": "nearest", "pairs": pairs, "random_pairs": [{**pairs[0], "teacher": [0, 0]}],
        "n_pairs": 3, "distinct_teacher_heads": 1, "ties": [],
    }  # fmt: skip
    arms = ("full_ce", "circuit_ce", "circuit_ce_align_cka")
    return {
        "histories": {f"small.{arm}": history(arm, k) for k, arm in enumerate(arms)},
        "scores": {"small.base": scores(2, 4, stages), "large.tuned": scores(3, 4, stages, 1)},
        "circuits": {"large.tuned": circuit, "small.base": {"heads": [[0, 0]], "stages": {}}},
        "stabilities": {"large.tuned": stability()},
        "mappings": {"small": mapping, "medium": mapping},
    }
