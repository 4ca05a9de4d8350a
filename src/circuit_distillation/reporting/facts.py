"""Facts about a run as rows (task, seed, experiment, group, name, value) for the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

RUN = ("task", "seed", "experiment")
COLUMNS = (*RUN, "group", "name", "value")
MAPPING = "Mapping"
STABILITY = "Stability of circuits"
TRAINING, COSTS = "Training seconds", "Costs of circuit discovery"
BETWEEN = ("between_templates", "between_parts")  # only of tasks with several templates
# Heading -> the group of facts that holds the seconds of each model.
STAGES = {
    "Base models": "Base models",
    "Tuned models": "Tuned models",
    "Circuit discovery": COSTS,
    "Students": TRAINING,
}


def run_facts(
    *,
    task: str,
    seed: int,
    experiment: str,
    mappings: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Mapping[str, Any]],
) -> pd.DataFrame:
    """All values as text.

    `groups` are headings with what belongs under them, e.g. {"Parameters": {...}, "Versions": {...},
    "Times": {...}, "Costs": {...}}; nested entries get dotted names. `mappings` are the mapping records by
    student.
    """
    rows = [(group, name, value) for group, entries in groups.items() for name, value in _flat(entries)]
    for student, record in mappings.items():
        shown = {"pairs": record["n_pairs"], "distinct_teacher_heads": record["distinct_teacher_heads"]}
        shown |= {"ties": len(record["ties"]), "rule": record["rule"]}
        rows += [(MAPPING, f"{student}.{name}", value) for name, value in shown.items()]
    return pd.DataFrame(
        [(task, seed, experiment, group, name, _text(value)) for group, name, value in rows],
        columns=list(COLUMNS),
    )


def collapsed_mappings(facts: pd.DataFrame) -> list[dict[str, Any]]:
    """The mappings in which fewer than half of the paired teacher heads are distinct."""
    found = []
    for run, rows in facts[facts["group"] == MAPPING].groupby(list(RUN)):
        values = dict(zip(rows["name"], rows["value"], strict=True))
        for name in (key for key in values if key.endswith(".pairs")):
            student = name.removesuffix(".pairs")
            pairs, distinct = int(values[name]), int(values[f"{student}.distinct_teacher_heads"])
            if 2 * distinct < pairs:
                own = {"student": student, "pairs": pairs, "distinct": distinct}
                found.append(dict(zip(RUN, run, strict=True)) | own)
    return found


def stabilities(facts: pd.DataFrame, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """The overlaps of `circuits.stability` for each `run` and model; None where a task has one template."""
    found = []
    for run, rows in facts[facts["group"] == STABILITY].groupby(list(RUN)):
        models: dict[str, dict[str, float]] = {}
        for name, value in zip(rows["name"], rows["value"], strict=True):
            model, _, measure = name.rpartition(".")
            models.setdefault(model, {})[measure] = float(value)
        for model, values in models.items():
            role, kind = model.split(".")
            own = {"model": f"{labels[role]}, {kind}", **dict.fromkeys(BETWEEN), **values}
            found.append({"run": run} | own)
    return found


def stage_seconds(facts: pd.DataFrame) -> list[dict[str, Any]]:
    """For each run the seconds of each stage, summed over its models, and the forwards of circuit search.

    `forwards` are those that were made, `naive` those that one hooked forward a head and prompt would take.
    """
    found = []
    for run, rows in facts.groupby(list(RUN)):
        stages = {title: _total(rows, group, "seconds") for title, group in STAGES.items()}
        if any(stages.values()):
            costs = {name: _total(rows, COSTS, f"{name}forward_equivalents") for name in ("", "naive_")}
            counts = {"forwards": costs[""], "naive": costs["naive_"]}
            found.append({**dict(zip(RUN, run, strict=True)), "stages": stages, **counts})
    return found


def _total(rows: pd.DataFrame, group: str, name: str) -> float:
    """The sum of the values of a group whose last name it is; a group of bare seconds has no such names."""
    own = rows[rows["group"] == group]
    if group != TRAINING:
        own = own[own["name"].str.split(".").str[-1] == name]
    return float(pd.to_numeric(own["value"]).sum())


def _flat(entries: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in entries.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return str(value)
