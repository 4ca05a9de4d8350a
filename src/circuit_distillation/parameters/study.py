"""The study over seeds: trials of the search and of the sweeps, and the settings that the search chose."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from circuit_distillation.grid import EXTRA_ARMS, ONE_RATE_ARMS, PAPER_ARMS
from circuit_distillation.ranges import Count, CountOrZero, Fraction, Name, Rate, Strict, Weight
from circuit_distillation.study.names import SWEEPS

Task = Literal["entity", "tom"]


class Shared(Strict):
    """What the search decides for all arms of a task; an absent value stays that of the other parameters."""

    epochs: Count | None = None
    batch_size: Annotated[int, Field(strict=True, ge=2)] | None = None
    fraction: Fraction | None = None


class Chosen(Strict):
    """What the search decides for an arm; an absent value stays the shared one of `distillation`."""

    learning_rate_heads: Rate | None = None
    learning_rate_full: Rate | None = None
    cka_weight: Weight | None = None


class TaskChoice(Strict):
    """What the search decided for a task."""

    shared: Shared = Shared()
    arms: dict[Literal[PAPER_ARMS], Chosen] = {}


class Changes(Chosen, Shared):
    """What a trial may change."""

    n_train: Count | None = None
    bank_batches: Count | None = None
    weights: Literal["qkvo", "qo"] | None = None
    labels: Literal["hard", "gold"] | None = None
    rows: Literal["last", "answer", "all"] | None = None
    similarity: Literal["cka", "procrustes"] | None = None
    estimator: Literal["biased", "unbiased"] | None = None
    pair_reduction: Literal["sum", "mean"] | None = None
    student_form: Literal["difference", "ratio"] | None = None
    baseline: Literal["student", "teacher"] | None = None
    performance: Literal["logprob", "accuracy", "logit_diff"] | None = None
    rule: Literal["nearest", "one_to_one", "profile", "cka", "random"] | None = None
    student_heads: Literal["top_impact", "discovered"] | None = None
    random_from: Literal["circuit", "any_head"] | None = None


class Search(Strict):
    """The declared search on validation prompts: as many `trials` for every arm, then `shared` with each."""

    training_seed: CountOrZero
    trials: dict[Literal[PAPER_ARMS], tuple[Changes, ...]]
    shared: Annotated[tuple[Shared, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_budget(self) -> Search:
        sizes = {arm: len(self.trials.get(arm, ())) for arm in PAPER_ARMS}
        if len(set(sizes.values())) > 1 or not min(sizes.values()):
            counted = ", ".join(f"{arm} {size}" for arm, size in sizes.items())
            raise ValueError(f"every arm needs as many trials as any other, at least one: {counted}")
        rates = [{trial.learning_rate_heads for trial in self.trials[arm]} for arm in ONE_RATE_ARMS]
        if not set.intersection(*rates):
            raise ValueError(
                f"no learning_rate_heads is tried by all of {', '.join(ONE_RATE_ARMS)}: give them one"
            )
        return self


class Sweep(Strict):
    """One question about why: arms, and what is changed in them beside the settings that the search chose."""

    arms: tuple[Literal[(*PAPER_ARMS, *EXTRA_ARMS)], ...]
    changes: tuple[Changes, ...]
    tasks: tuple[Task, ...] = ("entity", "tom")


ChosenSettings = dict[Name, dict[Task, TaskChoice]]
Sweeps = dict[Literal[SWEEPS], Sweep]


def given(changes: Strict | dict) -> dict[str, object]:
    """The values that a block sets, by name."""
    values = changes if isinstance(changes, dict) else changes.model_dump()
    return {name: value for name, value in values.items() if value is not None}


def chosen_settings(chosen: dict, family: str, task: str, arm: str | None = None) -> dict[str, object]:
    """What the search chose for all arms of a task and, if an arm is named, for that arm alone.

    `chosen` is the block of the parameters as plain values. A "GOAT-style" arm, and the one that trains
    random heads, take what was chosen for the arm they are made from.
    """
    choice = chosen.get(family, {}).get(task, {})
    made_from = (arm or "").removeprefix("goat_").replace("random_heads_", "circuit_")
    own = choice.get("arms", {}).get(made_from, {})
    return given(choice.get("shared", {})) | given(own)


def outranked(chosen: dict, overrides: dict[str, dict[str, object]]) -> dict[str, object]:
    """`chosen` without what the runtime parameters set by hand in `distillation` and `head_mapping`.

    A setting given by hand holds in every arm: it takes the place of each value that the search chose.
    """
    return {
        family: {task: _by_hand(choice, task, overrides) for task, choice in tasks.items()}
        for family, tasks in chosen.items()
    }


def _by_hand(choice: dict, task: str, overrides: dict[str, dict[str, object]]) -> dict[str, object]:
    named = dict(overrides.get("distillation") or {})
    fractions = (overrides.get("head_mapping") or {}).get("fraction") or {}
    if task in fractions:  # type: ignore[operator]
        named["fraction"] = fractions[task]  # type: ignore[index]
    arms = {arm: _replaced(settings, named) for arm, settings in choice.get("arms", {}).items()}
    return {"shared": _replaced(choice.get("shared", {}), named), "arms": arms}


def _replaced(settings: dict, named: dict[str, object]) -> dict[str, object]:
    return {name: named.get(name, value) for name, value in given(settings).items()}
