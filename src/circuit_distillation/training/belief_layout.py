"""Token positions of the words of a belief story, read from the task's own text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from circuit_distillation.tasks.theory_of_mind import TheoryOfMind
from circuit_distillation.tasks.visibility import TEMPLATES, Observation

QUESTIONS = ((0, 0), (0, 1), (1, 0), (1, 1))  # (character, container), in the task's order
CELLS = ("own", "seen", "unseen")


@dataclass(frozen=True)
class Slot:
    """A token of the story that differs between stories: the ``index``-th of the story's names, containers or
    drinks.
    """

    column: int
    kind: str  # "name", "container" or "drink"
    index: int


@dataclass(frozen=True)
class StoryLayout:
    """Token ids of a template and the places of its slots, which hold the words of some example story."""

    story: np.ndarray  # [story position]
    question: np.ndarray  # [question position]
    slots: tuple[Slot, ...]  # those of the two filling sentences first
    verbs: tuple[int, ...]  # columns of "can" and "cannot", one an observation
    query_name: int  # column in the question
    query_container: int
    observations: tuple[Observation, ...]

    @property
    def length(self) -> int:
        """Tokens of the story and its four questions."""
        return len(self.story) + len(QUESTIONS) * len(self.question)

    @property
    def fills(self) -> tuple[Slot, ...]:
        """Names, containers and drinks of the two sentences that tell who fills what."""
        return self.slots[:6]

    def sight(self, who: int, owner: int) -> bool | None:
        """Whether character ``who`` can observe ``owner``; None where no sentence tells (then there is no
        seeing).
        """
        stated = [seen.can for seen in self.observations if (seen.observer, seen.observed) == (who, owner)]
        return stated[0] if stated else None

    def cell(self, who: int, which: int) -> str:
        """How the queried character relates to the queried container."""
        if who == which:
            return "own"
        return "seen" if self.sight(who, which) else "unseen"


def word_ids(tokenizer: Any, words: Sequence[str]) -> np.ndarray:
    """The one token id of each word as it stands after a space; ``ValueError`` for a word of no or several
    tokens.
    """
    ids = [tokenizer(" " + word, add_special_tokens=False)["input_ids"] for word in words]
    for word, pieces in zip(words, ids, strict=True):
        if len(pieces) != 1 or pieces[0] == tokenizer.unk_token_id:
            raise ValueError(f"{word!r} is not one token of this tokenizer: leave it out with exclude_words")
    return np.array([pieces[0] for pieces in ids])


def read_layout(task: TheoryOfMind, tokenizer: Any, template: str) -> StoryLayout:
    """StoryLayout of a template from one example of the task; its spans give the slots."""
    example = type(task)([template], instruction="full" if task.preamble else "none").generate(1, 0)[0]
    encoding = tokenizer(example.prompt, return_offsets_mapping=True)
    offsets = encoding["offset_mapping"]
    start = example.prompt.index(
        "\n", example.spans["drink_2"][1]
    )  # the story is one line, the question the next
    n_story = next(i for i, (_, end) in enumerate(offsets) if end > start)

    def column(role: str) -> int:
        end = example.spans[role][1]
        return next(i for i, offset in enumerate(offsets) if offset[1] == end)

    observations = TEMPLATES[template]
    slots = [
        Slot(column(f"{kind}_{k + 1}"), kind, k) for kind in ("name", "container", "drink") for k in (0, 1)
    ]
    for k, seen in enumerate(observations, start=1):
        slots += [
            Slot(column(f"observer_{k}"), "name", seen.observer),
            Slot(column(f"observed_{k}"), "name", seen.observed),
        ]
    ids = np.array(encoding["input_ids"])
    return StoryLayout(
        story=ids[:n_story],
        question=ids[n_story:],
        slots=tuple(slots),
        verbs=tuple(column(f"can_{k + 1}") for k in range(len(observations))),
        query_name=column("query_name") - n_story,
        query_container=column("query_container") - n_story,
        observations=observations,
    )
