"""Show what paired heads do."""

from __future__ import annotations

import logging
from typing import Any

from circuit_distillation.parameters import plain
from circuit_distillation.parameters.looks import HeadViewer, head_of
from circuit_distillation.training.draws import draw_name

log = logging.getLogger(__name__)


def show_heads(
    teacher,
    base,
    students: dict[str, Any],
    test,
    means,
    mapping: dict,
    by_function: dict,
    wanted: HeadViewer,
    role,
    family: dict[str, Any],
    **run_and_measured,
) -> dict[str, bytes]:
    """heads.html, and an SVG of each pair on the first prompt.

    `run_and_measured` holds task, seed, experiment and training_seed, and circuit, head_scores and stability
    of "student_…" and "teacher_…".
    """
    from circuit_distillation.arms import row_name
    from circuit_distillation.circuits.head_views import prompt_views
    from circuit_distillation.reporting import head_page

    task, name = run_and_measured["task"], plain(role)["name"]
    labels = {key: value["label"] for key, value in plain(family)["roles"].items()}
    pairs = head_page.shown_pairs(mapping, by_function, [head_of(head) for head in wanted.pairs])
    prompts = head_page.choose_prompts(test, wanted.n_prompts)
    arms = _arms(students, name, wanted.arms)
    loaders = {"teacher": lambda: teacher, "base": lambda: base} | arms
    sides = {key: "teacher" if key == "teacher" else "student" for key in loaders}
    views = {
        key: prompt_views(load(), prompts, means, sorted({pair[sides[key]] for pair in pairs}))
        for key, load in loaders.items()
    }
    rows = {arm: row_name(task, name, arm, labels) for arm in arms}
    models = {"teacher": row_name(task, "large", "tuned", labels).model, "base": f"Base-{labels[name]}"}
    models |= {arm: _name(row, labels[name]) for arm, row in rows.items()}
    measured = {
        side: {kind: run_and_measured[f"{side}_{kind}"] for kind in ("circuit", "head_scores", "stability")}
        for side in ("student", "teacher")
    }
    experiment = draw_name(run_and_measured["experiment"], run_and_measured["training_seed"])
    title = {
        "task": task,
        "seed": run_and_measured["seed"],
        "experiment": experiment,
        "student": labels[name],
    }
    data = head_page.viewer_data(base.tokenizer, prompts, pairs, models, views, measured, title)
    files = head_page.pair_pictures(data, pairs, views) | {"heads.html": head_page.render(data).encode()}
    log.info("%d pairs, %d models, %d prompts: open heads.html", len(pairs), len(models), len(prompts))
    return files


def _name(row, label: str) -> str:
    """Such as "CE (GOAT-style), circuit distilled": what tells the arms of one student apart."""
    kind = row.model.removeprefix(f"Base-{label}")  # such as " (GOAT-style)"
    return f"{row.loss}{kind}, {row.block.lower()}"


def _arms(students: dict[str, Any], role: str, wanted: tuple[str, ...]) -> dict[str, Any]:
    """Loaders of a student's arms, in the order of the tables. ValueError if a wanted one is absent."""
    from circuit_distillation.arms import ARMS

    there = {arm: students[f"{role}.{arm}"] for arm in ARMS if f"{role}.{arm}" in students}
    if missing := [arm for arm in wanted if arm not in there]:
        raise ValueError(
            f"{role}.{missing[0]} has not been trained in this run: leave it out of `heads.arms`, or train "
            f"it with `kedro run --namespaces {role}.{missing[0]}`"
        )
    return {arm: load for arm, load in there.items() if not wanted or arm in wanted}
