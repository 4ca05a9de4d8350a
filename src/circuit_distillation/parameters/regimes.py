"""The study of regimes: sizes of training data, their arms, the trials of the search and what it chose."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from circuit_distillation.arms import ARMS
from circuit_distillation.parameters.distillation import Distillation
from circuit_distillation.parameters.study import given
from circuit_distillation.ranges import Count, CountOrZero, Flag, Name, OneOf, Strict, changes_of, with_fields
from circuit_distillation.study.names import REGIMES

ArmName = Annotated[str, OneOf(ARMS)]
Size = Annotated[str, OneOf(REGIMES)]


@with_fields({"steps": (Count | None, None)})
@changes_of(Distillation, only=("learning_rate_heads", "learning_rate_full", "cka_weight", "rows"))
class RegimeTrial(Strict):
    """What a trial changes."""


class Regime(Strict):
    """One size of training data."""

    n_train: Annotated[int, Field(strict=True, ge=2)]
    settings: Size
    arms: Literal["all", "few"]
    lesion: Flag = False


class Regimes(Strict):
    """Everything that the pipelines of regimes read."""

    n_test: Count
    n_validation: Count
    search_seed: CountOrZero
    search_training_seed: CountOrZero
    batch_size: Annotated[int, Field(strict=True, ge=2)]
    steps: Count
    tests: dict[Name, dict[Name, dict[str, Any]]]
    sizes: dict[Size, Regime]
    arms: dict[Literal["all", "few"], tuple[ArmName, ...]]
    trials: dict[ArmName, tuple[RegimeTrial, ...]]
    chosen: dict[Name, dict[Name, dict[Size, dict[ArmName, RegimeTrial]]]]

    @model_validator(mode="after")
    def _fits(self) -> Regimes:
        if len({len(trials) for trials in self.trials.values()}) > 1:
            counted = ", ".join(f"{arm} {len(trials)}" for arm, trials in self.trials.items())
            raise ValueError(f"every arm needs as many trials as any other: {counted}")
        lacking = [arm for arm in self.arms["all"] if arm not in self.trials]
        if lacking:
            raise ValueError(f"`trials` lacks {lacking[0]}: give it as many trials as the others")
        return self

    def choice(self, family: str, task: str, size: str, arm: str) -> dict[str, object]:
        """What the search chose for an arm; its first trial where nothing was searched."""
        own = self.chosen.get(family, {}).get(task, {}).get(self.sizes[size].settings, {})
        return given(own.get(arm, self.trials[arm][0]))
