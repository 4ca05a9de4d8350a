"""Every figure of a run as SVG files: Figure 5, head scores, mappings, similarity over training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from circuit_distillation.arms import REFERENCES, row_name
from circuit_distillation.circuits.stability import ANY
from circuit_distillation.grid import students
from circuit_distillation.reporting.curves import STYLES, ce_figure, similarity_figure
from circuit_distillation.reporting.head_figures import (
    circuit_roles,
    grid,
    mapping_figure,
    score_figure,
    stability_figure,
    stage_name,
)
from circuit_distillation.reporting.svg import to_svg
from circuit_distillation.tasks.task import TASKS

TEACHER = "large.tuned"
UNSTEADY = (0.05, 0.95)  # shares of redraws
SECTIONS = ("ce_loss", "heads", "mapping", "similarity")

_TASKS = {name: task.title.lower() for name, task in TASKS.items()}


class Picture(NamedTuple):
    """A figure with its words: `title` names it, `description` says what there is to see."""

    section: str
    name: str
    title: str
    description: str
    figure: Any


def run_figures(
    *,
    task: str,
    seed: int,
    experiment: str,
    labels: Mapping[str, str],
    histories: Mapping[str, pd.DataFrame],
    scores: Mapping[str, pd.DataFrame],
    circuits: Mapping[str, Mapping[str, Any]],
    mappings: Mapping[str, Mapping[str, Any]],
    stabilities: Mapping[str, pd.DataFrame],
) -> dict[str, bytes]:
    """File name -> SVG (UTF-8) of one run; names start with "{task}_seed{seed}_{experiment}_".

    `histories`, `scores`, `circuits` and `stabilities` are keyed by "role.arm" (e.g. "small.circuit_ce",
    "large.tuned"), `mappings` by student. What is missing is not drawn. Every file carries title,
    description, section, task, seed and experiment.
    """
    models = {key: _model_name(task, key, labels) for key in {*histories, *scores}}
    pictures = [
        *_ce(histories, models),
        *_heads(scores, circuits, stabilities, models),
        *_mappings(mappings, scores, circuits, models),
        *_similarity(histories, models),
    ]
    files = {}
    for order, picture in enumerate(pictures):
        name = f"{task}_seed{seed}_{experiment}_{picture.section}_{picture.name}"
        data = {"section": picture.section, "task": task, "seed": str(seed), "experiment": experiment}
        data["order"] = str(order)
        title = f"{picture.title} ({_TASKS.get(task, task)}, seed {seed})"
        text = to_svg(picture.figure, name=name, title=title, description=picture.description, data=data)
        files[f"{name}.svg"] = text.encode()
    return files


def _model_name(task: str, key: str, labels: Mapping[str, str]) -> str:
    role, arm = key.split(".")
    name = row_name(task, role, arm, labels)
    return name.model if arm in REFERENCES else f"{name.model}, {name.loss}"


def _ce(histories: Mapping[str, pd.DataFrame], models: Mapping[str, str]) -> Iterator[Picture]:
    for student in students():
        arms = {arm: histories[f"{student}.{arm}"] for arm in STYLES if f"{student}.{arm}" in histories}
        if arms:
            last = ", ".join(f"{STYLES[arm][0]} {_late_ce(history):.3f}" for arm, history in arms.items())
            yield Picture(
                "ce_loss",
                student,
                f"Cross-entropy while training {models[f'{student}.{next(iter(arms))}'].split(',')[0]}",
                f"The paper's Figure 5. Mean over the last tenth of the steps, in nats: {last}.",
                ce_figure(arms),
            )


def _late_ce(history: pd.DataFrame) -> float:
    return float(history["ce"].tail(max(1, len(history) // 10)).mean())


def _heads(
    scores: Mapping[str, pd.DataFrame],
    circuits: Mapping[str, Mapping[str, Any]],
    stabilities: Mapping[str, pd.DataFrame],
    models: Mapping[str, str],
) -> Iterator[Picture]:
    for key, frame in scores.items():
        circuit = circuits.get(key, {"heads": [], "stages": {}})
        roles = circuit_roles(circuit)
        for stage in frame["stage"].unique():
            # A head belongs in the picture of its own stage; a circuit without stages is outlined everywhere.
            inside = {
                head: role
                for head, role in roles.items()
                if not circuit["stages"] or stage_name(stage) in role
            }
            listed = ", ".join(f"L{layer}.H{head}" for layer, head in sorted(inside)) or "none"
            yield Picture(
                "heads",
                f"{key}_{stage}",
                f"{stage_name(stage)} scores of {models[key]}",
                f"A cell a head; outlined are the heads of the circuit: {listed}.",
                score_figure(frame[frame["stage"] == stage], inside),
            )
        if key in stabilities:
            heads = stabilities[key][stabilities[key]["stage"] == ANY]
            yield Picture(
                "heads",
                f"{key}_stability",
                f"Stability of the circuit of {models[key]}",
                "The share of redrawn prompts with which each head enters the circuit, before pruning; "
                f"outlined are the heads of the circuit. {_unsteady(heads)}",
                stability_figure(heads, roles),
            )


def _unsteady(heads: pd.DataFrame) -> str:
    """Heads that enter with some prompts and not with others."""
    between = heads[heads["redraws"].between(*UNSTEADY)].sort_values("redraws", ascending=False)
    named = ", ".join(
        f"L{row['layer']}.H{row['head']} {row['redraws']:.0%}" for row in between.to_dict("records")
    )
    return f"In 5 to 95 % of redraws: {named or 'none'}."


def _mappings(
    mappings: Mapping[str, Mapping[str, Any]],
    scores: Mapping[str, pd.DataFrame],
    circuits: Mapping[str, Mapping[str, Any]],
    models: Mapping[str, str],
) -> Iterator[Picture]:
    for student, record in mappings.items():
        base = f"{student}.base"
        if base in scores and TEACHER in scores:
            names = models[base], models[TEACHER]
            roles = circuit_roles(circuits.get(TEACHER, {"heads": [], "stages": {}}))
            pairs = "; ".join(
                f"L{p['student'][0]}.H{p['student'][1]} with L{p['teacher'][0]}.H{p['teacher'][1]}"
                for p in record["pairs"]
            )
            yield Picture(
                "mapping",
                student,
                f"Heads of {names[0]} mapped onto {names[1]}",
                f"{record['n_pairs']} pairs onto {record['distinct_teacher_heads']} teacher heads (rule "
                f"{record['rule']}): {pairs}. Dotted: the random control pairs.",
                mapping_figure(record, grid(scores[base]), grid(scores[TEACHER]), names, roles),
            )


def _similarity(histories: Mapping[str, pd.DataFrame], models: Mapping[str, str]) -> Iterator[Picture]:
    for key, history in histories.items():
        if history["similarity"].notna().any():
            first, last = (float(history["similarity"].dropna().iloc[k]) for k in (0, -1))
            yield Picture(
                "similarity",
                key,
                f"{history['measure'].iloc[0]} while training {models[key]}",
                f"Mean over the pairs from {first:.3f} at the first step to {last:.3f} at the last.",
                similarity_figure(history),
            )
