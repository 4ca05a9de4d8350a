"""Sizes of the splits, options of the generators, the tuning corpus."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from circuit_distillation.parameters.loaded import CorpusFile
from circuit_distillation.parameters.tasks import by_task
from circuit_distillation.ranges import Count, Strict
from circuit_distillation.tasks import get_task
from circuit_distillation.tasks.arithmetic_grid import PARTS
from circuit_distillation.tasks.instructions import KINDS
from circuit_distillation.tasks.visibility import MIXES, TEMPLATES

ArithmeticKind = Literal[tuple(PARTS)]
InstructionKind = Literal[tuple(KINDS)]
Words = tuple[str, ...]
# Rows of the data sets of the hub that the paper names.
HUB_ITEMS = {"tiedong/goat": 1_746_300, "tatsu-lab/alpaca": 52_002}


class Splits(Strict):
    """Scenes or stories a split."""

    train: Count
    discovery: Count
    means: Count
    mapping: Count
    validation: Count
    test: Count


Groups = by_task("Groups", "Sizes of the splits of each task.", others=Splits)


class WordOptions(Strict):
    """What every generator can be told."""

    exclude_words: Words = ()


class EntityOptions(Strict):
    """Options of `tasks.entity_tracking.EntityTracking`."""

    n_boxes: Annotated[int, Field(strict=True, ge=2, le=24)] = 7
    exclude_words: Words = ()


class BeliefOptions(Strict):
    """Options of `tasks.theory_of_mind.TheoryOfMind`."""

    templates: Any = "explicit"
    instruction: Literal["full", "none"] = "full"
    corruption: Literal["by_cell", "visibility", "binding"] = "by_cell"
    exclude_words: Words = ()

    @field_validator("templates")
    @classmethod
    def _known(cls, value: Any) -> Any:
        names = [] if isinstance(value, str) else list(value)
        if value in list(MIXES) or names and set(names) <= set(TEMPLATES):
            return value
        raise ValueError(
            f"{value!r} is no mix of templates ({', '.join(MIXES)}) and no list of some of "
            f"{', '.join(TEMPLATES)}"
        )


TaskOptions = by_task(
    "TaskOptions",
    "What the generator of each task is told.",
    entity=EntityOptions,
    tom=BeliefOptions,
    others=WordOptions,
)


class Corpus(Strict):
    """Size of a tuning corpus, and its file if it is not generated."""

    n_train: Count | None  # None: all of a file but what is held out
    n_heldout: Annotated[int, Field(strict=True, ge=10)]
    max_digits: Annotated[int, Field(strict=True, ge=1, le=17)]
    source: CorpusFile | None = None

    @property
    def n_left(self) -> int | None:
        """Items of a known data set of the hub beside the held-out ones, at most; None: another source."""
        source = self.source
        if source is None or source.path is not None or source.hub_id not in HUB_ITEMS:
            return None
        return HUB_ITEMS[source.hub_id] - self.n_heldout

    @model_validator(mode="after")
    def _there_are_as_many(self) -> Corpus:
        own_file = self.source is not None and self.source.path is not None
        if self.n_train is None and not own_file and self.n_left is None:
            raise ValueError(
                "`n_train` is null: give a number, or a `source` of which to take all, a `path` or one of "
                f"{', '.join(HUB_ITEMS)}"
            )
        if self.n_train is not None and self.n_left is not None and self.n_train > self.n_left:
            raise ValueError(
                f"`n_train` = {self.n_train}: with `n_heldout` = {self.n_heldout} held out the data set has "
                f"{self.n_left} items left at most; lower it, or null for all of them"
            )
        return self


class ArithmeticCorpus(Corpus):
    """Arithmetic after GOAT."""

    kinds: Annotated[tuple[ArithmeticKind, ...], Field(min_length=1)] | None

    @model_validator(mode="after")
    def _small_enough(self) -> ArithmeticCorpus:
        for kind in self.kinds or ():
            least = min(cell.digits for cell in PARTS[kind][2])
            if least > self.max_digits:
                raise ValueError(f"kind `{kind}` needs `max_digits` of at least {least}")
        return self


class InstructionCorpus(Corpus):
    """Instructions after Alpaca."""

    kinds: Annotated[tuple[InstructionKind, ...], Field(min_length=1)] | None


Corpora = by_task(
    "Corpora",
    "What the models of each task are tuned on.",
    entity=ArithmeticCorpus,
    others=InstructionCorpus,
)


class DataGeneration(Strict):
    """Sizes of the splits and options of the generators."""

    groups: Groups
    task_options: TaskOptions
    corpus: Corpora

    def n_prompts(self, task: str, split: str) -> int:
        """Prompts of a split, such as one a box of each scene or four a story."""
        source = get_task(task, **getattr(self.task_options, task).model_dump())
        return source.prompts_a_group * getattr(getattr(self.groups, task), split)
