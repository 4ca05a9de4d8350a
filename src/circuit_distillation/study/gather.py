"""Collect the stored files of every run into the tables of a study."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from circuit_distillation.arms import CORPUS_ARMS, EXTRA_ARMS
from circuit_distillation.circuits.stability import ANY
from circuit_distillation.heads import Head
from circuit_distillation.reporting.results import result_rows
from circuit_distillation.study.outcomes import Model, parse_partition

Stored = Mapping[str, Callable[[], Any]]  # path below the family's folder, without ending -> loader
BEYOND = (*CORPUS_ARMS, *EXTRA_ARMS)  # no part of the study
TRAINING_COLUMNS = (
    "step", "ce", "similarity", "noise_floor", "lr", "seconds", "validation_accuracy", "pct_heads",
    "pct_parameters",
)  # fmt: skip


def models_of(stored: Stored, experiment: str, suffix: str = "") -> Iterator[tuple[Model, Any]]:
    """Every model of an experiment with what is stored of it; `suffix` marks arms of discovered circuits."""
    for name in sorted(stored):
        model = parse_partition(name, experiment)
        if model is not None and model.arm not in BEYOND:
            yield replace(model, arm=f"{model.arm}{suffix}"), stored[name]()


def training_table(histories: Stored, experiment: str) -> pd.DataFrame:
    """The histories of every student, one row a step, with task, seed, training_seed, role and arm."""
    frames = [
        frame[[name for name in TRAINING_COLUMNS if name in frame]].assign(**vars(model))
        for model, frame in models_of(histories, experiment)
    ]
    if not frames:
        raise ValueError("there are no training histories to study: make them with `make study`")
    table = pd.concat(frames, ignore_index=True)
    _check_one_setting(table)
    return table


def _check_one_setting(training: pd.DataFrame) -> None:
    """ValueError if runs of one arm were not trained alike: students made before the search chose are not of
    the study."""
    arms = ["task", "role", "arm"]
    rates = training.groupby([*arms, "seed", "training_seed"])["lr"].max().groupby(arms).agg(["min", "max"])
    mixed = rates[~np.isclose(rates["min"], rates["max"])]
    if len(mixed):
        task, role, arm = mixed.index[0]
        low, high = mixed.iloc[0]
        raise ValueError(
            f"runs of {role}.{arm} ({task}) were trained at learning rates from {low:g} to {high:g}: remove "
            "students and histories of other settings from data/06_models and data/07_model_output, then "
            "`make study`"
        )


def head_table(circuits: Stored, stabilities: Stored) -> pd.DataFrame:
    """Heads of every discovered circuit: task, seed, role, kind (base, tuned), layer, head, n_heads_total.

    `redraws` is the share of redrawn prompts with which the head enters; missing where it was not measured.
    """
    redraws = {model: _redraws(frame) for model, frame in models_of(stabilities, "")}
    rows = []
    for model, circuit in models_of(circuits, ""):
        own = {"task": model.task, "seed": model.seed, "role": model.role, "kind": model.arm}
        own |= {"n_heads_total": circuit["n_heads_total"]}
        shares = redraws.get(model, {})
        rows += [
            own | {"layer": la, "head": he, "redraws": shares.get((la, he))} for la, he in circuit["heads"]
        ]
    return pd.DataFrame(rows).astype({"redraws": float})


def _redraws(stability: pd.DataFrame) -> dict[Head, float]:
    own = stability[stability["stage"] == ANY]
    return dict(zip(zip(own["layer"], own["head"], strict=True), own["redraws"], strict=True))


def transfer_table(transfers: Stored, experiment: str) -> pd.DataFrame:
    """Rows of `transfer.transfer_row` of every student that has one, with the names of the student."""
    frames = [frame.assign(**vars(model)) for model, frame in models_of(transfers, experiment)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["task"])


def pair_table(mappings: Stored, experiment: str) -> pd.DataFrame:
    """The mapped pairs of every student: task, seed, student, its head, the teacher's, rule, stability."""
    rows = []
    for name in sorted(mappings):
        seed, task, folder, student = name.split("/")
        if folder == experiment:
            record = mappings[name]()
            own = {"task": task, "seed": int(seed.removeprefix("seed")), "student": student}
            own |= {"rule": record["rule"]}
            rows += [
                own
                | {
                    "student_head": ".".join(map(str, pair["student"])),
                    "teacher_head": ".".join(map(str, pair["teacher"])),
                    "distance": pair["distance"],
                    "stability": pair.get("stability"),
                }
                for pair in record["pairs"]
            ]
    return pd.DataFrame(rows)


def model_table(predictions: Stored, tests: Stored, experiment: str) -> pd.DataFrame:
    """Every metric of the report for every model and run: rows of `result_rows` with the training seed."""
    examples = {name.rstrip("/"): load() for name, load in tests.items()}
    frames = []
    for model, frame in models_of(predictions, experiment):
        rows = result_rows(
            frame,
            task=model.task,
            seed=model.seed,
            experiment=experiment,
            model=model.role,
            arm=model.arm,
            examples=examples.get(f"seed{model.seed}/{model.task}"),
        )
        frames.append(rows.assign(training_seed=model.training_seed).astype({"training_seed": "Int64"}))
    return pd.concat(frames, ignore_index=True)
