"""Tables, significance, figures and the page: pure functions of what earlier pipelines stored."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from circuit_distillation import grid
from circuit_distillation.parameters import plain
from circuit_distillation.pipelines.tracking import going_on
from circuit_distillation.tasks.example import to_frame
from circuit_distillation.tasks.task import TASKS
from circuit_distillation.training.draws import draw_name

SHOWN_PARAMETERS = (
    "family",
    "data_generation",
    "circuit_discovery",
    "evaluation",
    "head_mapping",
    "distillation",
)
PACKAGES = ("circuit-distillation", "torch", "transformers", "kedro", "numpy", "pandas", "scipy")
TABLES = ("table1", "table2", "table3", "table4", "table5")


def collect_results(test, task: str, seed: int, experiment: str, training_seed: int, **stored):
    """Long rows of every metric of every model of this run.

    `stored` holds "predictions__role__arm" and "history__role__arm" frames, and for the circuits that
    discovery found, which give rows of their own, "circuit_predictions__role__kind" and
    "overlap__role__kind".
    """
    import pandas as pd

    from circuit_distillation.reporting.results import result_rows

    rows = []
    models = [*_named(stored, "predictions")]
    found = _named(stored, "circuit_predictions")
    models += [(role, f"{kind}_discovered", frame) for role, kind, frame in found]
    overlaps = {(role, f"{kind}_discovered"): of for role, kind, of in _named(stored, "overlap")}
    for role, arm, predictions in models:
        measured = _trained_shares(stored.get(f"history__{role}__{arm}"))
        measured |= {f"jaccard_{name}": value for name, value in overlaps.get((role, arm), {}).items()}
        rows.append(
            result_rows(
                predictions,
                task=task,
                seed=seed,
                experiment=draw_name(experiment, training_seed),
                model=role,
                arm=arm,
                examples=to_frame(test),
                measured=measured,
            )
        )
    return pd.concat(rows, ignore_index=True)


def compute_significance(task: str, seed: int, experiment: str, training_seed: int, **stored):
    """McNemar's tests of appendix A.1, corrected after Holm."""
    from circuit_distillation.reporting.significance import significance_table

    frames = {f"{role}.{arm}": frame for role, arm, frame in _named(stored, "predictions")}
    return significance_table(frames, task=task, seed=seed, experiment=draw_name(experiment, training_seed))


def collect_rule_scores(task: str, seed: int, experiment: str, training_seed: int, **stored):
    """How the rules of this run compare with the truth: "rule_scores__role__base" of every student."""
    import pandas as pd

    frames = [frame.assign(student=role) for role, _, frame in _named(stored, "rule_scores")]
    run = {"task": task, "seed": seed, "experiment": draw_name(experiment, training_seed)}
    return pd.concat(frames, ignore_index=True).assign(**run)


def tabulate_matching(rule_scores, family: dict[str, Any], experiment: str, training_seed: int) -> tuple:
    """Matching rules against the truth, over the seeds of the experiment: frame and Markdown."""
    from circuit_distillation.reporting.matching import CAPTION, matching_table
    from circuit_distillation.reporting.table_text import to_markdown

    table = matching_table(rule_scores, _labels(family), draw_name(experiment, training_seed))
    return table, to_markdown(table, CAPTION)


def build_tables(results, family: dict[str, Any], experiment: str, training_seed: int) -> tuple:
    """Tables 1 to 4, and 5 of other tasks, from the rows of every run: frames, then Markdown, then LaTeX."""
    from circuit_distillation.reporting.table_text import to_latex, to_markdown
    from circuit_distillation.reporting.tables import CAPTIONS, build_table

    numbers = range(1, len(TABLES) + 1)
    labels, named = _labels(family), draw_name(experiment, training_seed)
    frames = [build_table(results, number, labels, named) for number in numbers]
    captions = [f"Table {number}. {CAPTIONS[number]}" for number in numbers]
    markdown = [to_markdown(frame, caption) for frame, caption in zip(frames, captions, strict=True)]
    latex = [
        to_latex(frame, CAPTIONS[number], f"tab:{name}")
        for frame, number, name in zip(frames, numbers, TABLES, strict=True)
    ]
    return *frames, *markdown, *latex


def draw_figures(
    task: str, seed: int, experiment: str, training_seed: int, family: dict[str, Any], **stored
) -> dict[str, bytes]:
    """Figure 5, head scores by stage, the mappings and similarity over training, as SVG files of this run."""
    from circuit_distillation.reporting.figures import run_figures

    return run_figures(
        task=task,
        seed=seed,
        experiment=draw_name(experiment, training_seed),
        labels=_labels(family),
        histories=_by_model(stored, "history"),
        scores=_by_model(stored, "head_scores"),
        circuits=_by_model(stored, "circuit"),
        mappings={role: stored[f"mapping__{role}__base"] for role in grid.students()},
        stabilities=_by_model(stored, "stability"),
    )


def collect_facts(parameters: dict[str, Any], pretraining: dict, tuning: dict, **stored):
    """How this run was made: parameters, versions, times, costs, stability of circuits, mappings."""
    from circuit_distillation.reporting.facts import STABILITY, run_facts

    seconds = {name: frame["seconds"].max() for name, frame in _by_model(stored, "history").items()}
    costs = {name: circuit["cost"] for name, circuit in _by_model(stored, "circuit").items()}
    return run_facts(
        task=parameters["task"],
        seed=parameters["seed"],
        experiment=draw_name(parameters["experiment"], parameters["training_seed"]),
        mappings={role: stored[f"mapping__{role}__base"] for role in grid.students()},
        groups={
            "Settings of arms": {arm: parameters["arms"][arm] for arm in grid.arms()},
            "Parameters before the search": {key: plain(parameters[key]) for key in SHOWN_PARAMETERS},
            "Versions": {package: version(package) for package in PACKAGES},
            "Base models": pretraining,
            "Tuned models": tuning,
            "Training seconds": seconds,
            "Costs of circuit discovery": costs,
            STABILITY: _by_model(stored, "overlap"),
        },
    )


def write_page(
    results,
    significance,
    figures,
    facts,
    rule_scores,
    study,
    corners,
    viewers,
    family: dict[str, Any],
    teacher_tuning: dict[str, Any] | None,
    experiment: str,
    training_seed: int,
) -> str:
    """report.html over the rows of every run of the family, with the claims of its published study."""
    from circuit_distillation.reporting.page import render_page

    family = plain(family)
    tuning = plain(teacher_tuning) or {}  # null: loaded models are tuned on the corpus alone
    page = render_page(
        family=family["name"],
        labels=_labels(family),
        results=results,
        significance=significance,
        figures=figures,
        facts=facts,
        rule_scores=rule_scores,
        experiment=draw_name(experiment, training_seed),
        study=study,
        corners=corners,
        viewers=[f"heads/{folder}heads.html" for folder in sorted(viewers)],
        scaffolded=family["scaffolded"],
        in_domain_shares={
            task: tuning[task]["common"]["in_domain_share"] for task in TASKS if tuning.get(task)
        },
    )
    with going_on("report.html, which lies in the data folder all the same"):
        _attach(page)
    return page


def _attach(page: str) -> None:
    """The page beside the run in MLflow, where one is followed."""
    import mlflow

    if mlflow.active_run() is not None:
        mlflow.log_text(page, "report.html")


def _by_model(stored: dict[str, Any], kind: str) -> dict[str, Any]:
    return {f"{role}.{arm}": value for role, arm, value in _named(stored, kind)}


def _named(stored: dict[str, Any], kind: str):
    """(role, arm, frame) of every stored input of a kind, given as "kind__role__arm"."""
    for key, frame in stored.items():
        name, role, arm = key.split("__")
        if name == kind:
            yield role, arm, frame


def _labels(family: dict[str, Any]) -> dict[str, str]:
    roles = plain(family)["roles"]
    return {name: roles[name]["label"] for name in grid.roles()}


def _trained_shares(history) -> dict[str, float]:
    """Percent of heads and of parameters that an arm trained; nothing for a model no arm trained."""
    if history is None:
        return {}
    return {name: float(history[name].iloc[0]) for name in ("pct_heads", "pct_parameters")}
