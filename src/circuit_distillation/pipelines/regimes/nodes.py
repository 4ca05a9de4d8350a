"""Train arms on every size of training data, and choose their settings on validation prompts."""

from __future__ import annotations

import json
import logging
from typing import Any

from circuit_distillation.parameters import Distillation
from circuit_distillation.parameters.data import TaskOptions
from circuit_distillation.parameters.regimes import Regimes

RUN = ("task", "seed", "training_seed")


def run_size(
    role: str,
    size: str,
    regimes: Regimes,
    distillation: Distillation,
    family: str,
    options: TaskOptions,
    **stored,
) -> tuple:
    """Outcomes of every arm of a size on all test sets, and how its training ended."""
    from circuit_distillation.study.regimes import run_regime

    arms = regimes.arms[regimes.sizes[size].arms]
    stored["validation"] = stored["validation"][: regimes.batch_size]  # `distill` asks for some; none is used
    case = _case(size, regimes, stored, stored["training_seed"], _tests(regimes, options, stored))
    settings = {}
    for arm in arms:
        choice = regimes.choice(family, stored["task"], size, arm)
        settings[arm] = _settings(arm, choice, size, regimes, distillation, stored, stored["training_seed"])
    key = {name: stored[name] for name in RUN} | {"role": role, "size": size}
    return tuple(frame.assign(**key) for frame in run_regime(case, settings))


def search_size(
    role: str, size: str, regimes: Regimes, distillation: Distillation, options: TaskOptions, **stored
):
    """A row for every trial of every arm of a size: its accuracy on validation prompts, the best `chosen`."""
    import pandas as pd
    from tqdm.auto import tqdm

    from circuit_distillation.parameters.study import given
    from circuit_distillation.study.regimes import can_align, validation_accuracy

    draw = regimes.search_training_seed
    stored |= {"validation": _validation(regimes, options, stored)}
    case = _case(size, regimes, stored, draw, {})
    trials = [(arm, given(trial)) for arm, trials in regimes.trials.items() for trial in trials]
    rows = []
    for arm, trial in tqdm(trials, desc=f"{role} {size} trials"):
        settings = _settings(arm, trial, size, regimes, distillation, stored, draw)
        accuracy = validation_accuracy(case, arm, settings) if can_align(case, arm) else float("nan")
        rows.append({"arm": arm, "changes": json.dumps(trial, sort_keys=True), "accuracy": accuracy})
    key = {name: stored[name] for name in ("task", "seed")} | {"role": role, "size": size}
    frame = pd.DataFrame(rows).assign(**key)
    best = frame.dropna(subset="accuracy").groupby("arm", sort=False)["accuracy"].idxmax()
    return frame.assign(chosen=frame.index.isin(best))


def choose_settings(**trials):
    """The trials of all sizes; the log has the block `regimes.chosen` to write into the parameters."""
    import pandas as pd

    rows = pd.concat(trials.values(), ignore_index=True)
    block: dict[str, Any] = {}
    for row in rows[rows["chosen"]].to_dict("records"):
        block.setdefault(row["size"], {})[row["arm"]] = json.loads(row["changes"])
    logging.getLogger(__name__).info("chosen, for conf/base/parameters_regimes.yml:\n%s", json.dumps(block))
    return rows


def _case(size: str, regimes: Regimes, stored: dict[str, Any], draw: int, tests: dict[str, Any]):
    from dataclasses import replace

    from circuit_distillation.study.regimes import RegimeCase, lesioned
    from circuit_distillation.training.draws import training_block

    heads = [tuple(head) for head in stored["heads"]["student_heads"]]
    pairs = {
        name: [(tuple(pair["student"]), tuple(pair["teacher"])) for pair in stored[name]["pairs"]]
        for name in ("mapped", "random", "function", "other_role")
    }
    # Blocks of the largest size, so that no draw of one size meets another draw of another size.
    largest = max(regime.n_train for regime in regimes.sizes.values())
    case = RegimeCase(
        student=stored["student"],
        teacher=stored["teacher"],
        train=training_block(stored["train"], largest, draw)[: regimes.sizes[size].n_train],
        validation=stored["validation"],
        tests=tests,
        heads=heads,
        pairs=pairs,
        acting=stored["acting"],
    )
    if not regimes.sizes[size].lesion:
        return case
    return replace(case, student=lesioned(case.student, heads, case.acting, stored["seed"]))


def _settings(
    arm: str,
    choice: dict[str, Any],
    size: str,
    regimes: Regimes,
    distillation: Distillation,
    stored: dict[str, Any],
    draw: int,
):
    """All that an arm trains with: the files, what the arm is, what the search chose, the regime's steps."""
    from circuit_distillation.arms import ARMS
    from circuit_distillation.training.arm_settings import arm_settings
    from circuit_distillation.training.draws import order_seed

    n_train = regimes.sizes[size].n_train
    batch = min(regimes.batch_size, n_train)
    steps = choice.get("steps", regimes.steps)
    whole = {"batch_size": batch, "bank_batches": 1, "epochs": max(1, round(steps * batch / n_train))}
    whole["evaluate_every"] = steps  # the last step alone is validated
    values = distillation.model_dump() | dict(ARMS[arm].own) | choice | whole
    return arm_settings(ARMS[arm], values, order_seed(stored["seed"], draw))


def _validation(regimes: Regimes, options: TaskOptions, stored: dict[str, Any]) -> list[Any]:
    """Prompts of the search alone, more than the validation split has: trials differ by little."""
    from circuit_distillation.tasks import get_task

    source = get_task(stored["task"], **getattr(options, stored["task"]).model_dump())
    return source.generate(regimes.n_validation // source.prompts_a_group, f"validation {stored['seed']}")


def _tests(regimes: Regimes, options: TaskOptions, stored: dict[str, Any]) -> dict[str, Any]:
    """The test split and the sets of the parameters, each of at most n_test prompts."""
    from circuit_distillation.tasks import get_task

    task = stored["task"]
    usual = getattr(options, task).model_dump()
    whole = regimes.n_test - regimes.n_test % get_task(task, **usual).prompts_a_group
    tests = {"test": stored["test"][:whole]}
    for name, changes in regimes.tests.get(task, {}).items():
        source = get_task(task, **usual | changes)
        groups = regimes.n_test // source.prompts_a_group
        tests[name] = source.generate(groups, f"{name} {stored['seed']}")
    return tests


def summarise(stored: dict[str, Any], scores: dict[str, Any], regimes: Regimes, experiment: str) -> tuple:
    """Accuracies, claims judged, recall of matching rules, Markdown of all, the 2 x 2 and its figure: of the
    runs of one experiment.
    """
    import pandas as pd

    from circuit_distillation.reporting.gains import corners_svg
    from circuit_distillation.study.recall import gather, recall
    from circuit_distillation.study.regime_claims import accuracies, judge
    from circuit_distillation.study.regime_tables import corners, document

    runs = (load() for _, load in sorted(_of(experiment, stored).items()))
    judged = [accuracies(run) for run in runs if regimes.search_seed not in run["seed"].unique()]
    if not judged:
        raise ValueError(
            f"there are no runs of regimes of experiment {experiment!r}: make them with `make regimes`"
        )
    table = pd.concat(judged, ignore_index=True)
    claims = pd.concat([judge(table, task) for task in dict.fromkeys(table["task"])], ignore_index=True)
    found = recall(gather(_of(experiment, scores)))
    square = corners(table)
    return table, claims, found, document(table, claims, found), square, corners_svg(square)


def _of(experiment: str, stored: dict[str, Any]) -> dict[str, Any]:
    """What lies in the folders of an experiment, whatever its draw of training prompts."""
    own = (f"/{experiment}/", f"/{experiment}.training")
    return {name: load for name, load in stored.items() if any(part in name for part in own)}
