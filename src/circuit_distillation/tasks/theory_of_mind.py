"""Theory of mind: what does a character believe that a container holds?

The stories of CausalToM (Prakash et al., 2025): two characters fill an opaque container each, and may or may
not observe one another. The sentence templates are theirs; word lists and instruction are ours. Who filled a
container, and who can observe the one who did, believes in its content; for everybody else the answer is
"unknown".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Annotated, Any

from pydantic import AfterValidator

from circuit_distillation.ranges import OneOf

from .example import Content, Example, Piece, lay_out
from .fresh import draw_fresh
from .visibility import MIXES, TEMPLATES, Observation, flipped, opposite
from .words import CONTAINERS, DRINKS, NAMES, signs, without

UNKNOWN = "unknown"
INSTRUCTIONS: dict[str, str] = {
    "full": (
        "Instruction: 1. Read the story and keep track of what each person believes. "
        "2. People believe something about a container only if they filled it or could observe who did. "
        "3. Nobody can look into an opaque container. "
        "4. Answer with the one drink that the named person believes to be in the named container. "
        "5. If this person believes nothing about the container, answer unknown. "
        "6. Never answer with a person or a container.\n\n"
    ),
    "none": "",
}
CORRUPTIONS = ("by_cell", "visibility", "binding")


@dataclass(frozen=True)
class Story:
    """Who fills what with what, and who observes whom; characters and containers count from 0."""

    template: str
    names: tuple[str, ...]  # two owners, then decoys
    containers: tuple[str, ...]  # two
    drinks: tuple[str, ...]  # two
    observations: tuple[Observation, ...]

    def sees(self, who: int, owner: int) -> bool:
        """Whether a sentence says that `who` can observe `owner`."""
        return Observation(who, True, owner) in self.observations

    def cell(self, who: int, which: int) -> str:
        """How `who` relates to container `which`: "own", "seen" or "unseen"."""
        if who == which:
            return "own"
        return "seen" if self.sees(who, which) else "unseen"

    def belief(self, who: int, which: int) -> str:
        """The drink that `who` believes to be in container `which`, or "unknown"."""
        return UNKNOWN if self.cell(who, which) == "unseen" else self.drinks[which]

    def content(self) -> Content:
        """Who filled what with what, whatever the order and the visibility."""
        facts = zip(self.names[:2], self.containers, self.drinks)
        return tuple(sorted(" ".join(fact) for fact in facts))


def _story_pieces(story: Story) -> list[Piece]:
    pieces: list[Piece] = ["Story:"]
    for k, opening in enumerate((" ", " Then "), start=1):
        pieces += [opening, (f"name_{k}", story.names[k - 1]), " grabs an opaque "]
        pieces += [(f"container_{k}", story.containers[k - 1]), " and fills it with "]
        pieces += [(f"drink_{k}", story.drinks[k - 1]), "."]
    for k, seen in enumerate(story.observations, start=1):
        pieces += [" ", (f"observer_{k}", story.names[seen.observer]), " ", (f"can_{k}", seen.verb)]
        pieces += [" observe ", (f"observed_{k}", story.names[seen.observed]), "'s actions."]
    return pieces


def _question_pieces(story: Story, who: int, which: int) -> list[Piece]:
    name, container = ("query_name", story.names[who]), ("query_container", story.containers[which])
    return ["\nQuestion: What does ", name, " believe the ", container, " contains?\n", ("last", "Answer:")]


def _read_story(example: Example) -> tuple[Story, int, int]:
    """The story, the queried character and the queried container of an example."""
    owners = [example.text(f"name_{k}") for k in (1, 2)]
    places = range(1, 3 if "can_1" in example.spans else 1)
    seen = [[example.text(f"{role}_{k}") for role in ("observer", "can", "observed")] for k in places]
    names = list(dict.fromkeys([*owners, *(name for a, _, b in seen for name in (a, b))]))
    story = Story(
        example.template,
        tuple(names),
        (example.text("container_1"), example.text("container_2")),
        (example.text("drink_1"), example.text("drink_2")),
        tuple(Observation(names.index(a), verb == "can", names.index(b)) for a, verb, b in seen),
    )
    which = story.containers.index(example.text("query_container"))
    return story, names.index(example.text("query_name")), which


def known_templates(templates: str | Sequence[str]) -> str | Sequence[str]:
    """The same. ValueError for what is neither a mix of templates nor a list of some."""
    known = MIXES if isinstance(templates, str) else TEMPLATES
    names = [templates] if isinstance(templates, str) else list(templates)
    if names and set(names) <= set(known):
        return templates
    raise ValueError(
        f"{templates!r} is no mix of templates ({', '.join(MIXES)}) and no list of some of "
        f"{', '.join(TEMPLATES)}"
    )


Templates = Annotated[Any, AfterValidator(known_templates)]  # as in `TheoryOfMind`


class TheoryOfMind:
    """Belief stories with four questions each, every character about every container.

    Args:
        templates: a mix of `visibility.MIXES` by name, or names of `visibility.TEMPLATES`, in equal numbers.
        instruction: "full" sets the instruction text before the story, "none" leaves it out.
        corruption: what `corrupt` changes, see there.
        exclude_words: names, containers and drinks to leave out, because a tokenizer splits them.
    """

    name = "tom"
    title = "Theory of mind"
    prompts_a_group = 4

    def __init__(
        self,
        templates: Templates = "explicit",
        instruction: Annotated[str, OneOf(INSTRUCTIONS)] = "full",
        corruption: Annotated[str, OneOf(CORRUPTIONS)] = "by_cell",
        exclude_words: tuple[str, ...] = (),
    ):
        known = known_templates(templates)
        self.templates = MIXES[known] if isinstance(known, str) else tuple(known)
        if instruction not in INSTRUCTIONS:
            raise ValueError(f"instruction must be one of {', '.join(INSTRUCTIONS)}, not '{instruction}'.")
        if corruption not in CORRUPTIONS:
            raise ValueError(f"corruption must be one of {', '.join(CORRUPTIONS)}, not '{corruption}'.")
        self.preamble, self.corruption = INSTRUCTIONS[instruction], corruption
        self.names = without(NAMES, exclude_words)
        self.containers = without(CONTAINERS, exclude_words)
        self.drinks = without(DRINKS, exclude_words)
        if len(self.names) < 8 or len(self.containers) < 4 or len(self.drinks) < 4:
            raise ValueError("Too few names, containers or drinks are left: exclude fewer words.")

    def generate(self, n_groups: int, seed: int | str, taken: Iterable[Content] = ()) -> list[Example]:
        """`n_groups` stories, the templates in turn, four questions each: n_groups x 4 examples.

        No two stories have the same content (who fills what with what), and none lies in `taken`.
        ValueError if no fresh story is left.
        """
        rng, used = Random(f"tom {seed}"), set(taken)
        turns = [self.templates[index % len(self.templates)] for index in range(n_groups)]
        stories = [draw_fresh(partial(self._draw, rng, template), Story.content, used) for template in turns]
        return [example for story in stories for example in self._questions(story)]

    def _draw(self, rng: Random, template: str, avoid: Sequence[str] = ()) -> Story:
        return Story(
            template,
            tuple(rng.sample(without(self.names, avoid), 4)),
            tuple(rng.sample(without(self.containers, avoid), 2)),
            tuple(rng.sample(without(self.drinks, avoid), 2)),
            TEMPLATES[template],
        )

    def _questions(self, story: Story) -> list[Example]:
        text, _ = lay_out(_story_pieces(story))
        group_id = "tom-" + hashlib.sha1(text.encode()).hexdigest()[:12]
        return [
            self._example(story, who, which, group_id, f"{group_id}-{who + 1}{which + 1}")
            for who in range(2)
            for which in range(2)
        ]

    def _example(self, story: Story, who: int, which: int, group_id: str, example_id: str) -> Example:
        pieces = [self.preamble, *_story_pieces(story), *_question_pieces(story, who, which)]
        prompt, spans = lay_out(pieces)
        return Example(
            example_id=example_id,
            group_id=group_id,
            task=self.name,
            template=story.template,
            cell=story.cell(who, which),
            prompt=prompt,
            answer=story.belief(who, which),
            candidates=(*story.drinks, UNKNOWN),
            spans=spans,
        )

    def corrupt(self, examples: Sequence[Example], seed: int | str) -> list[Example]:
        """Counterparts, one for one, in the same token layout.

        - "visibility": the same story with every can and cannot exchanged. It isolates who sees whom; the
          answer changes where a sentence is about the queried pair. ValueError where there are no sentences.
        - "binding": the same template with other names, containers and drinks; where the clean answer is
          "unknown" the question is about the queried character's own container: the answer always changes.
        - "by_cell" (default): where one can or cannot decides the answer, only that word changes; elsewhere
          (own container, no sentence about the pair) the binding counterpart. The answer always changes.

        An example's counterpart depends on `seed` and its id, not on its neighbours.
        """
        return [
            self._corrupted(clean, Random(f"tom corrupt {seed} {clean.example_id}")) for clean in examples
        ]

    def _corrupted(self, clean: Example, rng: Random) -> Example:
        story, who, which = _read_story(clean)
        pairs = [(seen.observer, seen.observed) for seen in story.observations]
        if self.corruption == "visibility":
            if not story.observations:
                raise ValueError(f"{clean.example_id} states no visibility: use corruption 'by_cell'.")
            story = replace(story, observations=tuple(opposite(seen) for seen in story.observations))
        elif self.corruption == "by_cell" and (who, which) in pairs:
            story = replace(story, observations=flipped(story.observations, pairs.index((who, which))))
        else:
            avoid = [*story.names, *story.containers, *story.drinks]
            story = replace(self._draw(rng, story.template, avoid), observations=story.observations)
            which = who if clean.answer == UNKNOWN else which
        return self._example(story, who, which, f"{clean.group_id}-corrupt", f"{clean.example_id}-corrupt")

    def content(self, example: Example) -> Content:
        """Who filled what with what, sorted: the same for a story with other visibility or order."""
        return _read_story(example)[0].content()

    def words(self) -> list[str]:
        """Words that a fixed layout needs as one token each, and that `exclude_words` can leave out."""
        return [*self.names, *self.containers, *self.drinks]

    def vocabulary(self) -> list[str]:
        """Every word and sign of the prompts and answers."""
        story = self._draw(Random(0), "neither_sees")
        frame, _ = lay_out([self.preamble, *_story_pieces(story), *_question_pieces(story, 0, 0)])
        return signs([frame, "can cannot", UNKNOWN, *self.names, *self.containers, *self.drinks])
