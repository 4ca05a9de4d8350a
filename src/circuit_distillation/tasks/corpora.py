"""The tuning corpus of each task: arithmetic for entity tracking, instructions for all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from circuit_distillation.tasks import alpaca, arithmetic, goat, instructions
from circuit_distillation.tasks.corpus import Instruction, content_hash, hold_out, is_held_out

PROBLEMS = (
    0.15  # share of all contents (an arithmetic problem, an instruction) that no training item may have
)
PROMPTS = 0.1  # share of all other prompts that no training item may have


@dataclass(frozen=True)
class Corpus:
    """Items to tune on, and two kinds of held-out items, none of them twice.

    `unseen_prompts` ask known contents in words that training does not have; `unseen_problems` have contents
    of their own. For instructions the content is the prompt.
    """

    train: list[Instruction]
    unseen_prompts: list[Instruction]
    unseen_problems: list[Instruction]


def make_corpus(
    task: str, n_train: int, n_heldout: int, seed: int, max_digits: int, kinds: Sequence[str] | None = None
) -> Corpus:
    """`n_train` items to tune on, at most `n_heldout` of each held-out sort (small grids have fewer).

    `kinds` narrows the corpus to some kinds of items; None is all of them.

    ValueError if not even ten problems can be held out.
    """
    drawn = _generate(task, 2 * n_train + 20 * n_heldout, seed, max_digits, kinds)
    known, other = hold_out(drawn, PROBLEMS)
    train, unseen = _split_prompts(known)
    if len(train) < n_train:
        raise ValueError(f"only {len(train)} of {n_train} training items could be drawn: ask for fewer")
    train = train[:n_train]
    contents = {item.content for item in train}
    prompts = {item.prompt: item for item in unseen if task != "entity" or item.content in contents}
    problems = {item.content: item for item in other}
    if len(problems) < 10:
        raise ValueError(
            f"only {len(problems)} {task} problems can be held out: raise max_digits or n_heldout"
        )
    return Corpus(train, list(prompts.values())[:n_heldout], list(problems.values())[:n_heldout])


def read_corpus(task: str, path: str | Path, n_train: int | None, n_heldout: int, seed: int) -> Corpus:
    """The corpus of a task from a data file: GOAT's for entity tracking, Alpaca's for all others.

    `n_heldout` contents, those with the lowest hashes, are held out with all their items (`unseen_problems`);
    of the rest `n_train` items are drawn, all of them if None. ValueError if there are fewer.
    """
    items = goat.load(path) if task == "entity" else alpaca.load(path)
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


def _generate(
    task: str, n: int, seed: int, max_digits: int, kinds: Sequence[str] | None
) -> list[Instruction]:
    chosen = {} if kinds is None else {"kinds": tuple(kinds)}
    if task == "entity":
        return arithmetic.generate(n, seed, max_digits, **chosen)
    return instructions.generate(n, seed, **chosen)
