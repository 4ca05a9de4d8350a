"""Trials of an arm on validation prompts; nothing here reads the test split."""

from __future__ import annotations

import json
import logging
from typing import Any

from circuit_distillation.mapping.settings import MappingSettings
from circuit_distillation.parameters import Distillation, HeadMapping
from circuit_distillation.parameters.study import Sweep, given

RUN = ("task", "seed")


def run_trials(
    role: str, arm: str, trials: list, distillation: Distillation, head_mapping: HeadMapping, **stored
):
    """Every declared trial of an arm for one student, beside the settings of the parameters: a row each."""
    declared = [(arm, given(changes)) for changes in trials]
    return _rows(role, declared, _undecided(arm, distillation, head_mapping, stored), stored)


def choose(experiment: str, **trials):
    """Which trial of every arm is best on validation prompts, the mean over students."""
    from circuit_distillation.study.search import summarise

    return _summary(summarise, trials, experiment)


def run_shared(
    role: str,
    arm: str,
    chosen,
    trials: list,
    distillation: Distillation,
    head_mapping: HeadMapping,
    **stored,
):
    """Every declared shared setting for an arm and student beside the trial chosen for it: a row each."""
    from circuit_distillation.study.search import chosen_changes

    beside = chosen_changes(chosen[chosen["arm"] == arm])
    declared = [(arm, given(changes)) for changes in trials]
    return _rows(role, declared, _undecided(arm, distillation, head_mapping, stored), stored, beside)


def choose_shared(chosen, experiment: str, **trials):
    """Which shared setting is best on validation prompts, the mean over arms and students."""
    from circuit_distillation.study.search import chosen_block, summarise_shared

    summary = _summary(summarise_shared, trials, experiment)
    block = json.dumps(chosen_block(summary, chosen), indent=2)
    logging.getLogger(__name__).info("chosen, for the family in conf/base/parameters_search.yml:\n%s", block)
    return summary


def _summary(summarise, trials: dict[str, Any], experiment: str):
    import pandas as pd

    rows = pd.concat(trials.values(), ignore_index=True)
    return summarise(rows).assign(seed=int(rows["seed"].iloc[0]), experiment=experiment)


def run_sweep(role: str, sweep: Sweep, arms: dict, mapping: MappingSettings, n_train: int, **stored):
    """Every arm and change of a sweep for one student, from the settings that the search chose."""
    from circuit_distillation.training.distillation_settings import DistillationSettings

    trials = [
        (arm, given(changes))
        for arm in sweep.arms
        for changes in sweep.changes
        if stored["task"] in sweep.tasks
    ]
    own = {"seed": _order(stored)}  # the order of the draw of the search
    settings = {arm: DistillationSettings(**arms[arm] | own) for arm in sweep.arms}
    return _rows(role, trials, _case(mapping, settings, n_train, stored), stored)


def collect(experiment: str, **sweeps):
    """The rows of every sweep, with its name."""
    import pandas as pd

    frames = [frame.assign(sweep=key.split("__")[1]) for key, frame in sweeps.items() if len(frame)]
    return pd.concat(frames, ignore_index=True).assign(experiment=experiment)


def _rows(role: str, trials: list, case, stored: dict[str, Any], beside: dict[str, Any] | None = None):
    """A row for each arm and its changes; `beside` holds in all of them."""
    import pandas as pd
    from tqdm.auto import tqdm

    from circuit_distillation.study.trials import run_trial

    key = {name: stored[name] for name in RUN} | {"student": role}
    return pd.DataFrame(
        [
            key | run_trial(case, arm, changes, beside or {})
            for arm, changes in tqdm(trials, desc=f"{role} trials")
        ]
    )


def _undecided(arm: str, distillation: Distillation, head_mapping: HeadMapping, stored: dict[str, Any]):
    """The case of one arm with the settings of the files, before the search has chosen."""
    from circuit_distillation.arms import ARMS
    from circuit_distillation.training.arm_settings import arm_settings

    share = getattr(head_mapping.fraction, stored["task"])
    choices = head_mapping.model_dump(exclude={"function_rule"})
    mapping = MappingSettings(**choices | {"fraction": share, "seed": stored["seed"]})
    values = distillation.model_dump() | dict(ARMS[arm].own)
    settings = {arm: arm_settings(ARMS[arm], values, _order(stored))}
    return _case(mapping, settings, distillation.n_train, stored)


def _order(stored: dict[str, Any]) -> int:
    from circuit_distillation.training.draws import order_seed

    return order_seed(stored["seed"], stored["training_seed"])


def _case(mapping: MappingSettings, settings: dict[str, Any], n_train: int, stored: dict[str, Any]):
    from circuit_distillation.study.trials import TrialCase
    from circuit_distillation.training.draws import training_block

    return TrialCase(
        student=stored["student"],
        teacher=stored["teacher"],
        train=training_block(stored["train"], n_train, stored["training_seed"]),
        validation=stored["validation"],
        means=stored["means"],
        student_side=_side(stored, "student"),
        teacher_side=_side(stored, "teacher"),
        mapping=mapping,
        settings=settings,
    )


def _side(stored: dict[str, Any], which: str):
    from circuit_distillation.mapping.effects import Effects, features_from_frame
    from circuit_distillation.study.trials import HeadSide

    outputs = features_from_frame(stored[f"{which}_features"])
    return HeadSide(Effects.from_frame(stored[f"{which}_effects"]), stored[f"{which}_circuit"], outputs)
