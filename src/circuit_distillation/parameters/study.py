"""The study over seeds: trials of the search and of the sweeps, and the settings that the search chose."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from circuit_distillation.arms import EXTRA_ARMS, ONE_RATE_ARMS, PAPER_ARMS
from circuit_distillation.mapping.settings import MappingSettings
from circuit_distillation.parameters.distillation import Distillation
from circuit_distillation.parameters.tasks import OF_THE_PAPER
from circuit_distillation.ranges import CountOrZero, Name, OneOf, Strict, changes_of
from circuit_distillation.study.names import SWEEPS
from circuit_distillation.training.arm_settings import KEYS

Task = Annotated[str, OneOf(OF_THE_PAPER)]
PaperArm = Annotated[str, OneOf(PAPER_ARMS)]


# An absent value stays that of the other parameters.
@changes_of(Distillation, MappingSettings, only=("epochs", "batch_size", "fraction"))
class Shared(Strict):
    """What the search decides for all arms of a task."""


@changes_of(Distillation, only=("learning_rate_heads", "learning_rate_full", "cka_weight"))
class Chosen(Strict):
    """What the search decides for an arm."""


@changes_of(
    Distillation,
    MappingSettings,
    only=("n_train", *KEYS, *MappingSettings.model_fields.keys() - {"seed"}),
)
class Changes(Strict):
    """What a trial may change."""


class TaskChoice(Strict):
    """What the search decided for a task."""

    shared: Shared = Shared()
    arms: dict[PaperArm, Chosen] = {}


class Search(Strict):
    """The declared search on validation prompts: the same number of `trials` for every arm, then `shared`."""

    training_seed: CountOrZero
    trials: dict[PaperArm, tuple[Changes, ...]]
    shared: Annotated[tuple[Shared, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_budget(self) -> Search:
        sizes = {arm: len(self.trials.get(arm, ())) for arm in PAPER_ARMS}
        if len(set(sizes.values())) > 1 or not min(sizes.values()):
            counted = ", ".join(f"{arm} {size}" for arm, size in sizes.items())
            raise ValueError(f"every arm needs as many trials as any other, at least one: {counted}")
        rates = [
            {given(trial).get("learning_rate_heads") for trial in self.trials[arm]} for arm in ONE_RATE_ARMS
        ]
        if not set.intersection(*rates):
            raise ValueError(
                f"no learning_rate_heads is tried by all of {', '.join(ONE_RATE_ARMS)}: give them one"
            )
        return self


class Sweep(Strict):
    """A sweep: arms, and the changes to the settings that the search chose."""

    arms: tuple[Annotated[str, OneOf((*PAPER_ARMS, *EXTRA_ARMS))], ...]
    changes: tuple[Changes, ...]
    tasks: tuple[Task, ...] = ("entity", "tom")


ChosenSettings = dict[Name, dict[Task, TaskChoice]]
Sweeps = dict[Annotated[str, OneOf(SWEEPS)], Sweep]


def given(changes: Strict | dict) -> dict[str, object]:
    """The values that a block sets, by name."""
    return changes if isinstance(changes, dict) else changes.model_dump(exclude_none=True)
