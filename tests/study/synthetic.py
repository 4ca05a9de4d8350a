"""A made-up study: three families, three training seeds; every accuracy is exact by construction."""

from __future__ import annotations

import numpy as np
import pandas as pd

from circuit_distillation.study.outcomes import Model

N_SCENES, PER_SCENE = 10, 10
N = N_SCENES * PER_SCENE
# Accuracy in percent (full, circuit) of each arm of a student, in every run alike but for `bumps`.
STUDENT = {
    "base": (60, 55),
    "full_ce": (75, 60),
    "circuit_ce": (74, 70),
    "circuit_align_cka": (58, 57),
    "circuit_ce_rand_cka": (50, 45),
    "circuit_ce_align_cka": (80, 78),
}
LARGE = {"base": (70, 60), "tuned": (90, 80), "base_discovered": (70, 60), "tuned_discovered": (90, 81)}
TRANSFER = {
    "cka_mapped": 0.4,
    "cka_weighted": 0.45,
    "cka_random": 0.1,
    "cka_mapped_novel": 0.3,
    "cka_random_novel": 0.2,
    "agreement": 0.7,
    "interchange": 0.65,
    "interchange_moved": 0.5,
    "interchange_control": 0.1,
    "moved": 0.3,
    "held_out_accuracy": 0.6,
    "familiar_accuracy": 0.9,
    "familiar_ce": 0.35,
    "trained_in_circuit": 1.0,
    "same_as_base": 0.75,
    "n_circuit_heads": 5,
}  # fmt: skip
SEEDS, DRAWS, ROLES = (0, 1, 2), (0, 1, 2), ("small", "medium")


def predictions(full: int, circuit: int, randoms: int = 2) -> pd.DataFrame:
    """A frame in which the first `full` and the first `circuit` examples are right."""
    index = np.arange(N)
    frame = pd.DataFrame(
        {
            "example_id": [f"e-{i:03d}" for i in index],
            "group_id": [f"s-{i // PER_SCENE}" for i in index],
            "cell": [("own", "seen", "unseen")[i % 3] for i in index],
            "answer": [f"thing{i % 50}" for i in index],
            "full_correct": index < full,
            "circuit_correct": index < circuit,
        }
    )
    return frame.assign(**{f"random_{k:02d}_correct": index < 2 + k for k in range(randoms)})


def stored(bumps: dict[tuple[int, int, str], int] | None = None, tasks=("entity", "tom")):
    """(model, predictions) of every run; `bumps` adds right answers to full models of (seed, draw, arm)."""
    for task in tasks:
        for seed in SEEDS:
            for arm, accuracy in LARGE.items():
                yield Model(task, seed, None, "large", arm), predictions(*accuracy)
            for role in ROLES:
                yield Model(task, seed, None, role, "base"), predictions(*STUDENT["base"])
                for draw in DRAWS:
                    for arm, (full, circuit) in STUDENT.items():
                        if arm != "base":
                            bump = (bumps or {}).get((seed, draw, arm), 0)
                            yield Model(task, seed, draw, role, arm), predictions(full + bump, circuit)


def histories(tasks=("entity", "tom")) -> pd.DataFrame:
    """CE falls from 2 to 0 along a line, with CKA twice as fast. CE on all weights takes 10 s, others 6."""
    steps = np.arange(1, 41)
    frames = []
    for task in tasks:
        for seed in SEEDS:
            for draw in DRAWS:
                for role in ROLES:
                    for arm in list(STUDENT)[1:]:
                        fast = arm == "circuit_ce_align_cka"
                        frame = pd.DataFrame(
                            {"step": steps, "ce": np.maximum(0, 2 - steps / (10 if fast else 20))}
                        )
                        frames.append(
                            frame.assign(
                                task=task, seed=seed, training_seed=draw, role=role, arm=arm,
                                seconds=steps * (10 if arm == "full_ce" else 6) / 40,
                                similarity=0.5, noise_floor=0.3, lr=1e-3, validation_accuracy=0.5,
                                pct_heads=12.5, pct_parameters=100.0 if arm == "full_ce" else 10.0,
                            )
                        )  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def circuits(tasks=("entity", "tom")) -> pd.DataFrame:
    """The tuned teacher has four heads, three of them the base's."""
    heads = {"base": [(0, 1), (1, 2), (1, 3)], "tuned": [(0, 1), (1, 2), (1, 3), (2, 0)]}
    rows = [
        (task, seed, "large", kind, layer, head)
        for task in tasks
        for seed in SEEDS
        for kind, of in heads.items()
        for layer, head in of
    ]
    return pd.DataFrame(rows, columns=["task", "seed", "role", "kind", "layer", "head"])
