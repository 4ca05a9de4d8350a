"""The tuning corpus of each task, generated or read from a file, and what is held out of it.

A new corpus is one class of settings, which draws and reads its items, and one line in `CORPORA`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from circuit_distillation.ranges import Count, OneOf, Strict
from circuit_distillation.storage.sources import DataFile
from circuit_distillation.tasks import alpaca, arithmetic, goat, instructions
from circuit_distillation.tasks.arithmetic_grid import PARTS
from circuit_distillation.tasks.corpus import Instruction, content_hash, hold_out, is_held_out

# Rows of the data sets of the hub that the paper names.
HUB_ITEMS = {"tiedong/goat": 1_746_300, "tatsu-lab/alpaca": 52_002}
PROBLEMS = (
    0.15  # share of all contents (an arithmetic problem, an instruction) that no training item may have
)
PROMPTS = 0.1  # share of all other prompts that no training item may have


class CorpusSettings(Strict, ABC):
    """Size of a tuning corpus, and its file if it is not generated."""

    n_train: Count | None  # None: all of a file but what is held out
    n_heldout: Annotated[int, Field(strict=True, ge=10)]  # of each sort
    max_digits: Annotated[int, Field(strict=True, ge=1, le=17)]  # of an operand
    source: DataFile | None = None
    tokens: ClassVar[tuple[float, float]]  # means of an item and of its response, with Llama-3's tokenizer

    @staticmethod
    @abstractmethod
    def read(path: str | Path) -> list[Instruction]:
        """The items of a data file."""

    @abstractmethod
    def draw(self, n: int, seed: int) -> list[Instruction]:
        """`n` items of the generator."""

    @property
    def n_left(self) -> int | None:
        """Items of a known data set of the hub beside the held-out ones, at most; None: another source."""
        source = self.source
        if source is None or source.path is not None or source.hub_id not in HUB_ITEMS:
            return None
        return HUB_ITEMS[source.hub_id] - self.n_heldout

    @model_validator(mode="after")
    def _there_are_as_many(self) -> CorpusSettings:
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


class ArithmeticCorpus(CorpusSettings):
    """Arithmetic after GOAT; GOAT has 115 million tokens."""

    kinds: Annotated[tuple[Annotated[str, OneOf(PARTS)], ...], Field(min_length=1)] | None  # None: all
    tokens = (66.0, 45.0)
    read = staticmethod(goat.load)

    def draw(self, n: int, seed: int) -> list[Instruction]:
        """See `arithmetic.generate`."""
        return arithmetic.generate(n, seed, self.max_digits, self.kinds or tuple(PARTS))

    @model_validator(mode="after")
    def _small_enough(self) -> ArithmeticCorpus:
        for kind in self.kinds or ():
            least = min(cell.digits for cell in PARTS[kind][2])
            if least > self.max_digits:
                raise ValueError(f"kind `{kind}` needs `max_digits` of at least {least}")
        return self


class InstructionCorpus(CorpusSettings):
    """Instructions after Alpaca; tokens measured on 5,000 rows of Alpaca."""

    kinds: Annotated[tuple[Annotated[str, OneOf(instructions.KINDS)], ...], Field(min_length=1)] | None
    tokens = (104.0, 60.0)
    read = staticmethod(alpaca.load)

    def draw(self, n: int, seed: int) -> list[Instruction]:
        """See `instructions.generate`."""
        return instructions.generate(n, seed, self.kinds or tuple(instructions.KINDS))


CORPORA: dict[str, type[CorpusSettings]] = {
    "entity": ArithmeticCorpus,
    "tom": InstructionCorpus,
    "sally": InstructionCorpus,
}


@dataclass(frozen=True)
class Corpus:
    """Items to tune on, and two kinds of held-out items, none of them twice.

    `unseen_prompts` ask known contents in words that training does not have; `unseen_problems` have contents
    of their own. For instructions the content is the prompt.
    """

    train: list[Instruction]
    unseen_prompts: list[Instruction]
    unseen_problems: list[Instruction]


def make_corpus(settings: CorpusSettings, seed: int) -> Corpus:
    """`n_train` items to tune on, at most `n_heldout` of each held-out sort (small grids have fewer).

    ValueError if not even ten problems can be held out.
    """
    n_train, n_heldout = settings.n_train, settings.n_heldout
    assert n_train is not None, "null is for a source of which to take all"
    drawn = settings.draw(2 * n_train + 20 * n_heldout, seed)
    known, other = hold_out(drawn, PROBLEMS)
    train, unseen = _split_prompts(known)
    if len(train) < n_train:
        raise ValueError(f"only {len(train)} of {n_train} training items could be drawn: ask for fewer")
    train = train[:n_train]
    contents = {item.content for item in train}
    known_contents = [item for item in unseen if item.content in contents or item.content == item.prompt]
    prompts = {item.prompt: item for item in known_contents}
    problems = {item.content: item for item in other}
    if len(problems) < 10:
        raise ValueError(f"only {len(problems)} problems can be held out: raise max_digits or n_heldout")
    return Corpus(train, list(prompts.values())[:n_heldout], list(problems.values())[:n_heldout])


def read_corpus(settings: CorpusSettings, path: str | Path, seed: int) -> Corpus:
    """The corpus from a data file of its form.

    `n_heldout` contents, those with the lowest hashes, are held out with all their items (`unseen_problems`);
    of the rest `n_train` items are drawn, all of them if None. ValueError if there are fewer.
    """
    n_train, n_heldout = settings.n_train, settings.n_heldout
    items = settings.read(path)
    contents = sorted({item.content for item in items}, key=content_hash)
    if len(contents) <= n_heldout:
        raise ValueError(
            f"{path} has {len(contents)} contents, {n_heldout} are to be held out: lower n_heldout"
        )
    held = set(contents[:n_heldout])
    rest = [item for item in items if item.content not in held]
    if n_train is not None and n_train > len(rest):
        raise ValueError(
            f"{path} has {len(rest)} items beside the held-out ones, n_train asks for {n_train}: lower it, "
            "or null for all of them"
        )
    train = rest if n_train is None else Random(f"corpus {seed}").sample(rest, n_train)
    problems = {item.content: item for item in items if item.content in held}
    return Corpus(train, [], list(problems.values()))


def _split_prompts(items: list[Instruction]) -> tuple[list[Instruction], list[Instruction]]:
    """(rest, held out) by the prompt's text."""
    by_prompt = [replace(item, content=f"prompt {item.prompt}") for item in items]
    held = [is_held_out(item, PROMPTS) for item in by_prompt]
    rest = [item for item, out in zip(items, held, strict=True) if not out]
    return rest, [item for item, out in zip(items, held, strict=True) if out]
