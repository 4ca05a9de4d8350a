"""The study over seeds: trials of the search and of the sweeps, and the settings that the search chose."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from circuit_distillation.grid import EXTRA_ARMS, PAPER_ARMS
from circuit_distillation.parameters.fields import Count, CountOrNone, Fraction, Name, Rate, Strict, Weight
from circuit_distillation.study.names import SWEEPS

Task = Literal["entity", "tom"]


class Chosen(Strict):
    """What the search decides for an arm; a value that is absent stays the shared one of `distillation`."""

    learning_rate_heads: Rate | None = None
    learning_rate_full: Rate | None = None
    cka_weight: Weight | None = None


class Changes(Chosen):
    """What a trial may change."""

    epochs: Count | None = None
    batch_size: Annotated[int, Field(strict=True, ge=2)] | None = None
    bank_batches: Count | None = None
    weights: Literal["qkvo", "qo"] | None = None
    labels: Literal["hard", "gold"] | None = None
    rows: Literal["last", "answer", "all"] | None = None
    similarity: Literal["cka", "procrustes"] | None = None
    estimator: Literal["biased", "unbiased"] | None = None
    pair_reduction: Literal["sum", "mean"] | None = None
    fraction: Fraction | None = None
    student_form: Literal["difference", "ratio"] | None = None
    baseline: Literal["student", "teacher"] | None = None
    performance: Literal["logprob", "accuracy", "logit_diff"] | None = None
    rule: Literal["nearest", "one_to_one", "profile", "cka", "random"] | None = None
    student_heads: Literal["top_impact", "discovered"] | None = None
    random_from: Literal["circuit", "any_head"] | None = None


class Search(Strict):
    """The declared search: as many trials for every arm, scored on the validation split."""

    training_seed: CountOrNone
    trials: dict[Literal[PAPER_ARMS], tuple[Changes, ...]]

    @model_validator(mode="after")
    def _one_budget(self) -> Search:
        sizes = {arm: len(self.trials.get(arm, ())) for arm in PAPER_ARMS}
        if len(set(sizes.values())) > 1 or not min(sizes.values()):
            counted = ", ".join(f"{arm} {size}" for arm, size in sizes.items())
            raise ValueError(f"every arm needs as many trials as any other, at least one: {counted}")
        return self


class Sweep(Strict):
    """One question about why: arms, and what is changed in them beside the settings that the search chose."""

    arms: tuple[Literal[(*PAPER_ARMS, *EXTRA_ARMS)], ...]
    changes: tuple[Changes, ...]
    tasks: tuple[Task, ...] = ("entity", "tom")


ChosenSettings = dict[Name, dict[Task, dict[Literal[PAPER_ARMS], Chosen]]]
Sweeps = dict[Literal[SWEEPS], Sweep]


def given(changes: Strict | dict) -> dict[str, object]:
    """The values that a block sets, by name."""
    values = changes if isinstance(changes, dict) else changes.model_dump()
    return {name: value for name, value in values.items() if value is not None}


def chosen_settings(chosen: ChosenSettings, family: str, task: str, arm: str) -> dict[str, object]:
    """What the search chose for an arm; a "GOAT-style" arm takes that of the arm it is made from."""
    settings = chosen.get(family, {}).get(task, {}).get(arm.removeprefix("goat_"))
    return given(settings) if settings else {}


def outranked(chosen: ChosenSettings, overrides: dict[str, object]) -> dict[str, object]:
    """`chosen` for runtime parameters that set its keys in `distillation` by hand: those win in every arm."""
    named = {key: value for key, value in overrides.items() if key in Chosen.model_fields}
    return {
        family: {
            task: {
                arm: {key: named[key] for key in named if key in given(settings)}
                for arm, settings in arms.items()
            }
            for task, arms in tasks.items()
        }
        for family, tasks in chosen.items()
    }
