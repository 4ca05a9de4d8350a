"""False belief: where does somebody think an object is that was moved, perhaps while they were away?

The story of section 3.1 of the paper (Sally and Anne): its owner puts an object somewhere, leaves the room or
watches it, and another character moves the object. Who was away believes in the first place, all others in
the second. Every prompt has the same token layout. Sentences and word lists are this project's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from .example import Content, Example, Piece, lay_out
from .fresh import draw_fresh
from .words import CONTAINERS, NAMES, OBJECTS, signs, without

VERBS = {"away": "leaves", "present": "watches"}  # template -> what the owner does before the move
LEAST = {"names": 4, "containers": 4, "objects": 2}  # words that a story and its counterpart need


@dataclass(frozen=True)
class MoveStory:
    """The owner and the mover, the object, its first and its second place."""

    template: str
    names: tuple[str, str]
    thing: str
    containers: tuple[str, str]

    def belief(self, who: int) -> str:
        """Where the owner (0) or the mover (1) thinks the object is."""
        return self.containers[0 if who == 0 and self.template == "away" else 1]

    def cell(self, who: int) -> str:
        """Whose belief it is: of the mover, or of an owner who was away or present."""
        return "mover" if who else self.template

    def content(self) -> Content:
        """Who puts what where, whether or not the owner is away."""
        facts = zip(self.names, (self.thing, self.thing), self.containers)
        return tuple(sorted(" ".join(fact) for fact in facts))

    def pieces(self, who: int) -> list[Piece]:
        """The prompt: the story and the question about `who`."""
        owner, mover = (("name_1", self.names[0]), ("name_2", self.names[1]))
        first, second = (("container_1", self.containers[0]), ("container_2", self.containers[1]))
        return [
            *("Story: ", owner, " puts the ", ("object", self.thing), " in the ", first, ". "),
            *(self.names[0], " ", ("verb", VERBS[self.template]), " the room. "),
            *(mover, " moves the ", self.thing, " to the ", second, "."),
            *(
                "\nQuestion: Where does ",
                ("query_name", self.names[who]),
                " think the ",
                self.thing,
                " is?\n",
            ),
            ("last", "Answer:"),
        ]


class MovedObject:
    """Stories with a question about either character; `exclude_words`: those that a tokenizer splits."""

    name = "sally"
    title = "False belief"
    prompts_a_group = 2

    def __init__(self, exclude_words: tuple[str, ...] = ()):
        lists = {"names": NAMES, "containers": CONTAINERS, "objects": OBJECTS}
        left = {kind: without(words, exclude_words) for kind, words in lists.items()}
        for kind, words in left.items():
            if len(words) < LEAST[kind]:
                raise ValueError(
                    f"Only {len(words)} {kind} are left, {LEAST[kind]} are needed: exclude fewer."
                )
        self.names, self.containers, self.objects = left["names"], left["containers"], left["objects"]

    def generate(self, n_groups: int, seed: int | str, taken: Iterable[Content] = ()) -> list[Example]:
        """`n_groups` stories of different content, owners away and present in turn, two questions each."""
        rng, used = Random(f"sally {seed}"), set(taken)
        templates = [list(VERBS)[index % len(VERBS)] for index in range(n_groups)]
        stories = [draw_fresh(partial(self._draw, rng, name), MoveStory.content, used) for name in templates]
        return [self._question(story, who) for story in stories for who in (0, 1)]

    def _draw(self, rng: Random, template: str, avoid: Sequence[str] = ()) -> MoveStory:
        owner, mover = rng.sample(without(self.names, avoid), 2)
        first, second = rng.sample(without(self.containers, avoid), 2)
        return MoveStory(template, (owner, mover), rng.choice(without(self.objects, avoid)), (first, second))

    def _question(self, story: MoveStory, who: int) -> Example:
        text, _ = lay_out(story.pieces(0))
        group_id = "sally-" + hashlib.sha1(text.encode()).hexdigest()[:12]
        return self._example(story, who, group_id, f"{group_id}-{who + 1}")

    def _example(self, story: MoveStory, who: int, group_id: str, example_id: str) -> Example:
        prompt, spans = lay_out(story.pieces(who))
        cell, belief, places = story.cell(who), story.belief(who), story.containers
        return Example(example_id, group_id, self.name, story.template, cell, prompt, belief, places, spans)

    def corrupt(self, examples: Sequence[Example], seed: int | str) -> list[Example]:
        """Counterparts of another answer: for the owner the other verb, for the mover another story.

        An example's counterpart depends on `seed` and its id, not on its neighbours.
        """
        return [
            self._corrupted(clean, Random(f"sally corrupt {seed} {clean.example_id}")) for clean in examples
        ]

    def _corrupted(self, clean: Example, rng: Random) -> Example:
        story = _read_story(clean)
        who = story.names.index(clean.text("query_name"))
        if who == 0:
            other = replace(story, template="present" if story.template == "away" else "away")
        else:
            other = self._draw(rng, story.template, (*story.names, *story.containers, story.thing))
        return self._example(other, who, f"{clean.group_id}-corrupt", f"{clean.example_id}-corrupt")

    def content(self, example: Example) -> Content:
        """The same for a story with the other verb."""
        return _read_story(example).content()

    def words(self) -> list[str]:
        """Words that a fixed layout needs as one token each, and that `exclude_words` can leave out."""
        return [*self.names, *self.containers, *self.objects]

    def vocabulary(self) -> list[str]:
        """Every word and sign of the prompts and answers."""
        frame, _ = lay_out(self._draw(Random(0), "away").pieces(0))
        return signs([frame, *VERBS.values(), *self.words()])


def _read_story(example: Example) -> MoveStory:
    names = example.text("name_1"), example.text("name_2")
    return MoveStory(
        example.template, names, example.text("object"), (example.candidates[0], example.candidates[1])
    )
