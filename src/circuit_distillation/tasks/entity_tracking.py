"""Entity tracking: which object is in the box that is asked about?

The scenes of Kim & Schuster (2023) as Prakash et al. (2024) reorder them: object before box, random letters,
one object a box, no operations. Seven boxes, seven queries a scene. Every prompt has the same token layout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from random import Random
from typing import Annotated

from pydantic import Field

from .example import Content, Example, Piece, lay_out
from .fresh import draw_fresh
from .words import LETTERS, OBJECTS, signs, without

TEMPLATE = "reordered"
MOST_BOXES = len(LETTERS) - 2
Boxes = Annotated[int, Field(strict=True, ge=2, le=MOST_BOXES)]


def _scene_pieces(objects: Sequence[str], letters: Sequence[str]) -> list[Piece]:
    pieces: list[Piece] = []
    for slot, (thing, letter) in enumerate(zip(objects, letters), start=1):
        opening = "The " if slot == 1 else ", the "
        pieces += [opening, (f"object_{slot}", thing), " is in Box ", (f"box_{slot}", letter)]
    return [*pieces, ". Box "]


def _content(objects: Sequence[str], letters: Sequence[str]) -> Content:
    return tuple(sorted(f"{thing} {letter}" for thing, letter in zip(objects, letters)))


class EntityTracking:
    """`n_boxes` boxes a scene (2 to 24); `exclude_words`: objects and letters that a tokenizer splits."""

    name = "entity"
    title = "Entity tracking"

    def __init__(self, n_boxes: Boxes = 7, exclude_words: tuple[str, ...] = ()):
        self.objects = without(OBJECTS, exclude_words)
        self.letters = without(LETTERS, exclude_words)
        if not 2 <= n_boxes <= MOST_BOXES:
            raise ValueError(f"n_boxes must lie between 2 and {MOST_BOXES}, not {n_boxes}.")
        if len(self.objects) < 2 * n_boxes or len(self.letters) < n_boxes + 2:
            raise ValueError(
                f"{n_boxes} boxes need {2 * n_boxes} objects and {n_boxes + 2} letters, "
                f"{len(self.objects)} and {len(self.letters)} are left: exclude fewer or lower n_boxes."
            )
        self.n_boxes = self.prompts_a_group = n_boxes

    def generate(self, n_groups: int, seed: int | str, taken: Iterable[Content] = ()) -> list[Example]:
        """`n_groups` scenes of different content, one query a box: n_groups x n_boxes examples.

        The content of a scene is its statements in any order; none is repeated and none lies in `taken`.
        ValueError if no fresh scene is left.
        """
        rng, used = Random(f"entity {seed}"), set(taken)

        def draw() -> tuple[list[str], list[str]]:
            return rng.sample(self.objects, self.n_boxes), rng.sample(self.letters, self.n_boxes)

        scenes = [draw_fresh(draw, lambda scene: _content(*scene), used) for _ in range(n_groups)]
        return [example for scene in scenes for example in self._queries(*scene)]

    def _queries(self, objects: list[str], letters: list[str]) -> list[Example]:
        scene, _ = lay_out(_scene_pieces(objects, letters))
        group_id = "entity-" + hashlib.sha1(scene.encode()).hexdigest()[:12]
        return [
            self._example(f"{group_id}-{slot + 1}", group_id, objects, letters, letter, slot)
            for slot, letter in enumerate(letters)
        ]

    def _example(
        self, example_id: str, group_id: str, objects: list[str], letters: list[str], letter: str, slot: int
    ) -> Example:
        """The query for `letter`, with the box in `slot` (from 0) as the one that is looked up."""
        scene, spans = lay_out(_scene_pieces(objects, letters))
        prompt = f"{scene}{letter} contains the"
        spans |= {
            "query_label": (len(scene), len(scene) + 1),
            "previous_label": spans[f"box_{slot + 1}"],
            "answer_object": spans[f"object_{slot + 1}"],
            "last": (len(prompt) - 3, len(prompt)),
        }
        return Example(
            example_id, group_id, self.name, TEMPLATE, "box", prompt, objects[slot], tuple(objects), spans
        )

    def corrupt(self, examples: Sequence[Example], seed: int | str) -> list[Example]:
        """Counterparts that share nothing with the clean scene but its layout (appendix B of the paper).

        Another scene of other objects; the query letter is drawn outside that scene and differs from the
        clean one (drawn from all letters, as in the prior code, a quarter of the prompts would still name a
        box). So the question has no right answer, and `previous_label`, from which a structure reader is
        patched, is the box of one random slot other than the clean one, drawn once an example; `answer` is
        the object there.
        An example's counterpart depends on `seed` and its id, not on its neighbours.
        """
        return [
            self._corrupted(clean, Random(f"entity corrupt {seed} {clean.example_id}")) for clean in examples
        ]

    def _corrupted(self, clean: Example, rng: Random) -> Example:
        if len(clean.candidates) != self.n_boxes:
            raise ValueError(
                f"{clean.example_id} has {len(clean.candidates)} boxes, this task {self.n_boxes}: "
                "corrupt examples with the options they were made with."
            )
        objects = rng.sample(without(self.objects, clean.candidates), self.n_boxes)
        letters = rng.sample(self.letters, self.n_boxes)
        letter = rng.choice(without(self.letters, [*letters, clean.text("query_label")]))
        clean_slot = clean.candidates.index(clean.answer)
        slot = rng.choice([slot for slot in range(self.n_boxes) if slot != clean_slot])
        example_id, group_id = f"{clean.example_id}-corrupt", f"{clean.group_id}-corrupt"
        return self._example(example_id, group_id, objects, letters, letter, slot)

    def content(self, example: Example) -> Content:
        """What is in which box, sorted: the same for a scene in another order."""
        letters = [example.text(f"box_{k + 1}") for k in range(len(example.candidates))]
        return _content(example.candidates, letters)

    def words(self) -> list[str]:
        """Words that a fixed layout needs as one token each, and that `exclude_words` can leave out."""
        return [*self.objects, *self.letters]

    def vocabulary(self) -> list[str]:
        """Every word and sign of the prompts and answers."""
        return signs(["The is in Box, the. Box contains the", *self.words()])
