"""The card of a student: what it is, what it was made from, its results with intervals, its licence."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from circuit_distillation.arms import ARMS
from circuit_distillation.statistics.intervals import difference_interval
from circuit_distillation.tasks.task import TASKS

OWN_LICENCE = "apache-2.0"
ABOUT = {
    "mapped": "the head of the teacher's circuit with the most similar impact (equation 5 of the paper)",
    "random": "a random head of the teacher's circuit: a control",
    "function": "the head of the teacher's circuit that attends most alike",
    "other_role": "a head of the teacher's circuit with another function: a control",
}
PARTS = {"full": "full model", "circuit": "circuit alone"}


def model_card(
    *,
    run: Mapping[str, Any],
    labels: Mapping[str, str],
    models: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    heads: Mapping[str, Any],
    pairs: Mapping[str, Any],
    predictions: Mapping[str, pd.DataFrame],
    n_train: int,
    command: str,
    version: str,
) -> str:
    """Markdown with the metadata that the hub reads.

    run: task, seed, training_seed, experiment, family, role and arm. models: of a loaded family, by role, as
    in the parameters; None where they were trained from scratch. predictions: of "this student", the base and
    the teacher on the test split.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("circuit_distillation.reporting", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    arm = ARMS[run["arm"]]
    results = [row for name, frame in predictions.items() for row in _results(name, frame)]
    return environment.get_template("model_card.md.j2").render(
        run=run,
        name=card_name(run),
        label=labels[run["role"]],
        teacher=labels["large"],
        sources=_sources(models, run["role"]),
        licence=OWN_LICENCE if models is None else "other",
        task=TASKS[run["task"]].title,
        arm=arm,
        about=ABOUT.get(arm.pairs),
        n_pairs=len(pairs["pairs"]) if arm.pairs != "none" else 0,
        n_heads=len(heads["student_heads"]),
        n_heads_total=heads["n_student_heads_total"],
        settings=json.dumps(settings, indent=1),
        results=results,
        gains=list(_gains(predictions)),
        n_test=len(next(iter(predictions.values()))),
        n_train=n_train,
        command=command,
        version=version,
    )


def card_name(run: Mapping[str, Any]) -> str:
    """Of the bundle and its model: task, seeds, experiment, student and arm."""
    draw = f".training{run['training_seed']}" if run["training_seed"] else ""
    return f"{run['task']}-seed{run['seed']}-{run['experiment']}{draw}-{run['role']}.{run['arm']}"


def reproduce_command(run: Mapping[str, Any], given: Mapping[str, Any], env: str | None) -> str:
    """The command that makes this student again, with everything that it follows from.

    given: the parameters of the run that made the bundle, as dotted names; those of places are left out.
    """
    words = {name: run[name] for name in ("task", "seed", "training_seed", "experiment")}
    left_out = {*words, "data_root", "student", "processes"}
    extra = {
        name: value
        for name, value in given.items()
        if name not in left_out and not name.startswith(("heads.", "bundle."))
    }
    params = ",".join(f"{name}={_word(value)}" for name, value in (words | extra).items())
    environment = ["--env", env] if env else []
    words_of_command = ["kedro", "run", *environment, "--to-outputs"]
    words_of_command += [f"{run['role']}.{run['arm']}.predictions", "--params", params]
    return shlex.join(words_of_command)


def _word(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "+".join(map(str, value))
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _sources(models: Mapping[str, Any] | None, role: str) -> dict[str, str]:
    """Where student and teacher come from, for a family that is loaded."""
    if models is None:
        return {}
    named = {name: models[name].get("hub_id") or models[name].get("path") for name in (role, "large")}
    return {name: source for name, source in named.items() if source}


def _results(name: str, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Accuracy with its interval over scenes, of the full model and of its circuit."""
    never = np.zeros(len(frame), dtype=bool)
    found = []
    for part, words in PARTS.items():
        if f"{part}_correct" in frame:
            right = frame[f"{part}_correct"]
            found.append(
                {"name": name, "part": words}
                | vars(difference_interval(never, right, frame["group_id"].tolist()))
            )
    return found


def _gains(predictions: Mapping[str, pd.DataFrame]):
    """What the student gains over the others, full models on the same prompts."""
    (own, mine), *others = ((name, frame.sort_values("example_id")) for name, frame in predictions.items())
    for name, frame in others:
        gain = difference_interval(frame["full_correct"], mine["full_correct"], mine["group_id"].tolist())
        yield {"name": name, "of": own} | vars(gain)
