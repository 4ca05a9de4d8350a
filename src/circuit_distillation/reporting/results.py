"""Stored predictions -> long result rows (task, seed, experiment, model, arm, metric, value, n)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pandas as pd

KEYS = ("task", "seed", "experiment", "model", "arm")
COLUMNS = (*KEYS, "metric", "value", "n")
BELIEF_CELLS = ("own", "seen", "unseen")

_REQUIRED = ("example_id", "group_id", "cell", "answer", "full_predicted", "full_correct")
_RANDOM = re.compile(r"random_\d+_correct")

Metric = tuple[str, float, int]


def result_rows(
    predictions: pd.DataFrame,
    *,
    task: str,
    seed: int,
    experiment: str,
    model: str,
    arm: str,
    examples: pd.DataFrame | None = None,
    measured: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """All metrics of one model (a role) under one arm, from its predictions on the test split.

    `examples` is the test split itself: its `candidates` tell invalid answers. `measured` adds figures that
    no prediction tells, e.g. {"pct_heads": 12.5, "pct_parameters": 3.1} (percent, of the trained part). `n`
    counts what a value is taken over: examples, random circuits, or 1 for a figure measured once. Columns
    of a circuit and of random circuits may be missing (a model without a circuit); their metrics are then
    missing too.

    Metrics: full_accuracy, circuit_accuracy, {full,circuit}_candidate_accuracy, random_circuit_accuracy and
    _std, faithfulness (circuit / full), majority_answer_accuracy; {full,circuit}_invalid; with several
    cells {full,circuit}_accuracy.{cell}, balanced_{full,circuit}_accuracy, majority_answer_balanced; with
    belief cells read_container_accuracy and read_container_balanced.
    """
    _check(predictions)
    if examples is not None:
        _check_aligned(predictions, examples)
    metrics = [*_accuracies(predictions), *_random_circuits(predictions), *_trivial(predictions)]
    if predictions["cell"].nunique() > 1:
        metrics += _by_cell(predictions)
    if examples is not None:
        metrics += _invalid(predictions, examples)
    metrics += [(name, float(value), 1) for name, value in (measured or {}).items()]
    key = (task, seed, experiment, model, arm)
    return pd.DataFrame([(*key, *metric) for metric in metrics], columns=list(COLUMNS))


def _check(predictions: pd.DataFrame) -> None:
    missing = [name for name in _REQUIRED if name not in predictions]
    if missing:
        raise ValueError(
            f"predictions lack the columns {', '.join(missing)}; predict on the test split again"
        )
    if predictions.empty or predictions["example_id"].duplicated().any():
        raise ValueError("predictions must hold every test example once, and at least one")


def _check_aligned(predictions: pd.DataFrame, examples: pd.DataFrame) -> None:
    """ValueError unless the predictions are of the whole test split and of nothing else."""
    predicted, tested = set(predictions["example_id"]), set(examples["example_id"])
    if strays := sorted(predicted - tested):
        raise ValueError(f"the test split has no example {strays[0]!r}; predict on this split again")
    if missing := sorted(tested - predicted):
        raise ValueError(
            f"{len(missing)} of {len(tested)} test examples have no prediction, {missing[0]!r} first; "
            "predict again"
        )
    if "answer" in examples:
        answers = predictions["example_id"].map(examples.set_index("example_id")["answer"])
        if (wrong := answers != predictions["answer"]).any():
            name = predictions.loc[wrong.idxmax(), "example_id"]
            raise ValueError(f"example {name!r} has another answer in the test split; predict again")


def _parts(predictions: pd.DataFrame) -> list[str]:
    return [part for part in ("full", "circuit") if f"{part}_correct" in predictions]


def _accuracies(predictions: pd.DataFrame) -> Iterator[Metric]:
    n = len(predictions)
    for part in _parts(predictions):
        yield f"{part}_accuracy", float(predictions[f"{part}_correct"].mean()), n
        if f"{part}_candidate_correct" in predictions:
            yield f"{part}_candidate_accuracy", float(predictions[f"{part}_candidate_correct"].mean()), n
    if "circuit_correct" in predictions:
        full = float(predictions["full_correct"].mean())
        circuit = float(predictions["circuit_correct"].mean())
        # A model that is never right has no accuracy for a circuit to keep.
        yield "faithfulness", circuit / full if full else float("nan"), n


def _random_circuits(predictions: pd.DataFrame) -> Iterator[Metric]:
    columns = [name for name in predictions if _RANDOM.fullmatch(name)]
    accuracies = predictions[columns].astype(float).mean()
    if columns:
        yield "random_circuit_accuracy", float(accuracies.mean()), len(columns)
    if len(columns) > 1:
        yield "random_circuit_std", float(accuracies.std(ddof=1)), len(columns)


def _trivial(predictions: pd.DataFrame) -> Iterator[Metric]:
    """Trivial baselines: the best constant answer, and the content of the container whoever saw it."""
    n = len(predictions)
    yield "majority_answer_accuracy", float(predictions["answer"].value_counts(normalize=True).iloc[0]), n
    cells = predictions["cell"]
    if cells.nunique() > 1:
        constant = pd.crosstab(predictions["answer"], cells, normalize="columns").mean(axis=1).max()
        yield "majority_answer_balanced", float(constant), n
    if set(cells) == set(BELIEF_CELLS):
        yield "read_container_accuracy", float((cells != "unseen").mean()), n
        yield "read_container_balanced", 2 / 3, n


def _by_cell(predictions: pd.DataFrame) -> Iterator[Metric]:
    for part in _parts(predictions):
        correct = predictions[f"{part}_correct"].astype(float).groupby(predictions["cell"])
        for cell, value in correct.mean().items():
            yield f"{part}_accuracy.{cell}", float(value), int(correct.size()[cell])
        yield f"balanced_{part}_accuracy", float(correct.mean().mean()), len(predictions)


def _invalid(predictions: pd.DataFrame, examples: pd.DataFrame) -> Iterator[Metric]:
    """Share of answers that are no candidate at all: neither a state of the story nor "unknown"."""
    candidates = dict(zip(examples["example_id"], examples["candidates"], strict=True))
    for part in _parts(predictions):
        answers = zip(predictions["example_id"], predictions[f"{part}_predicted"].str.strip(), strict=True)
        invalid = [answer not in candidates[i] for i, answer in answers]
        yield f"{part}_invalid", sum(invalid) / len(invalid), len(invalid)
