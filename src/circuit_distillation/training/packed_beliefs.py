"""Make batches of belief stories as token ids: four packed questions for each story, and the scaffold.

The scaffold is an early-exit cross-entropy on the intermediate steps towards an answer. Without it nothing is
learned in thousands of steps. After one layer: which sentence of the story a name or container stands in, the
container of a drink, whose sight "can" or "cannot" is about. After two, at the name and the container of the
question: which sentence named them, what the container holds, whether the character can observe the other.
After three, at the end of the question: the same of both, and whether the character filled the container.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuit_distillation.tasks.theory_of_mind import UNKNOWN, TheoryOfMind
from circuit_distillation.training.belief_layout import CELLS, QUESTIONS, StoryLayout, read_layout, word_ids
from circuit_distillation.training.packing import PADDING_BLOCK, PackedBatch, Target

# Target → (layers before its early exit, the words its softmax is restricted to).
SCAFFOLD: dict[str, tuple[int, str]] = {
    "sentence": (1, "sentence"),
    "drink_container": (1, "container"),
    "observer": (1, "name"),
    "name_sentence": (2, "sentence"),
    "name_sight": (2, "sight"),
    "container_sentence": (2, "sentence"),
    "container_drink": (2, "drink"),
    "last_name_sentence": (3, "sentence"),
    "last_container_sentence": (3, "sentence"),
    "last_sight": (3, "sight"),
    "own_action": (3, "action"),
}
SENTENCES = ["Story", "Then"]  # the words that open the two sentences name them
SIGHTS = ["cannot", "can"]
Labels = tuple[Tensor, Tensor, Tensor]  # rows, columns and token ids, each [label]
ACTIONS = ["observe", "fills"]  # a belief comes from observing or from one's own action


@dataclass(frozen=True)
class Stories:
    """Token ids of the words of n stories."""

    templates: np.ndarray  # [n] template names
    name: np.ndarray  # [n, 4] two owners, then decoys
    container: np.ndarray  # [n, 2]
    drink: np.ndarray  # [n, 2]


class Page:
    """The arrays of a packed batch while stories are written on it, and the labels by target name."""

    def __init__(self, n_rows: int, n_columns: int, pad_id: int) -> None:
        self.input_ids = np.full((n_rows, n_columns), pad_id)  # [row, column]
        self.position_ids = np.zeros((n_rows, n_columns), dtype=np.int64)
        self.block = np.full((n_rows, n_columns), PADDING_BLOCK)
        self._labels: dict[str, list[np.ndarray]] = {}

    def write(self, rows: np.ndarray, start: int, ids: np.ndarray, first_position: int, block: int) -> None:
        """The same ids [token] on several rows, from column ``start`` on."""
        columns = slice(start, start + len(ids))
        self.input_ids[rows, columns] = ids
        self.position_ids[rows, columns] = first_position + np.arange(len(ids))
        self.block[rows, columns] = block

    def label(self, name: str, rows: np.ndarray, column: int, labels: np.ndarray | int) -> None:
        """Labels at one column, one a row or one for all rows."""
        part = np.stack([rows, np.full_like(rows, column), np.broadcast_to(labels, rows.shape)])
        self._labels.setdefault(name, []).append(part)

    def labels(self) -> dict[str, Labels]:
        """Of every target."""
        joined = {name: torch.from_numpy(np.concatenate(parts, 1)) for name, parts in self._labels.items()}
        return {name: (rows, columns, ids) for name, (rows, columns, ids) in joined.items()}


class BeliefPacker:
    """Draws and packs stories of the templates given with their shares; ``scaffold`` names targets of
    ``SCAFFOLD``.
    """

    def __init__(
        self, task: TheoryOfMind, tokenizer: Any, templates: Mapping[str, float], scaffold: Iterable[str] = ()
    ) -> None:
        if not templates or min(templates.values()) <= 0:
            raise ValueError("templates must map at least one template name to a positive share")
        self.layouts = {name: read_layout(task, tokenizer, name) for name in templates}
        self.shares = np.array(list(templates.values())) / sum(templates.values())
        lists: dict[str, Sequence[str]] = {"name": task.names, "container": task.containers}
        lists |= {"drink": task.drinks, "sentence": SENTENCES, "sight": SIGHTS, "action": ACTIONS}
        self.words = {kind: word_ids(tokenizer, words) for kind, words in lists.items()}
        self.unknown = int(word_ids(tokenizer, [UNKNOWN])[0])
        self.scaffold, self.pad_id = tuple(scaffold), tokenizer.pad_token_id

    def draw(self, rng: np.random.Generator, n: int) -> Stories:
        """n random stories, words without replacement within a story."""

        def distinct(kind: str, k: int) -> np.ndarray:
            words = self.words[kind]
            return words[rng.random((n, len(words))).argsort(axis=1)[:, :k]]

        templates = rng.choice(list(self.layouts), size=n, p=self.shares)
        return Stories(templates, distinct("name", 4), distinct("container", 2), distinct("drink", 2))

    def pack(self, stories: Stories) -> PackedBatch:
        """One story a row with its four questions as blocks 1 to 4; answers as targets "own", "seen" and
        "unseen".
        """
        length = max(self.layouts[name].length for name in set(stories.templates))
        page = Page(len(stories.templates), length, self.pad_id)
        for template, layout in self.layouts.items():
            rows = np.flatnonzero(stories.templates == template)
            if len(rows):
                self._write_story(page, layout, stories, rows)
                for k in range(len(QUESTIONS)):
                    self._write_question(page, layout, stories, rows, k)
        ids, positions, block = map(torch.from_numpy, (page.input_ids, page.position_ids, page.block))
        return PackedBatch(ids, positions, block, self._targets(page.labels()))

    def _write_story(self, page: Page, layout: StoryLayout, stories: Stories, rows: np.ndarray) -> None:
        page.write(rows, 0, layout.story, 0, block=0)
        for slot in layout.slots:
            page.input_ids[rows, slot.column] = getattr(stories, slot.kind)[rows, slot.index]
        for slot in layout.fills:
            if slot.kind == "drink":
                page.label("drink_container", rows, slot.column, stories.container[rows, slot.index])
            else:
                page.label("sentence", rows, slot.column, self.words["sentence"][slot.index])
        for column, seen in zip(layout.verbs, layout.observations, strict=True):
            page.label("observer", rows, column, stories.name[rows, seen.observer])

    def _write_question(
        self, page: Page, layout: StoryLayout, stories: Stories, rows: np.ndarray, k: int
    ) -> None:
        who, which = QUESTIONS[k]
        start = len(layout.story) + k * len(layout.question)
        at_name, at_container = start + layout.query_name, start + layout.query_container
        last = start + len(layout.question) - 1
        drink, cell = stories.drink[rows, which], layout.cell(who, which)
        page.write(rows, start, layout.question, len(layout.story), block=k + 1)
        page.input_ids[rows, at_name] = stories.name[rows, who]
        page.input_ids[rows, at_container] = stories.container[rows, which]

        page.label(cell, rows, last, self.unknown if cell == "unseen" else drink)
        page.label("container_drink", rows, at_container, drink)
        page.label("own_action", rows, last, self.words["action"][int(who == which)])
        for kind, column, sentence in (("name", at_name, who), ("container", at_container, which)):
            page.label(f"{kind}_sentence", rows, column, self.words["sentence"][sentence])
            page.label(f"last_{kind}_sentence", rows, last, self.words["sentence"][sentence])
        sight = layout.sight(who, 1 - who)
        if sight is not None:
            page.label("name_sight", rows, at_name, self.words["sight"][int(sight)])
            page.label("last_sight", rows, last, self.words["sight"][int(sight)])

    def _targets(self, labels: Mapping[str, Labels]) -> list[Target]:
        """Each cell's answers are a mean of their own, so that the cells count alike; the scaffold has weight
        1 each.
        """
        cells = [cell for cell in CELLS if cell in labels]
        targets = [Target(cell, *labels[cell], weight=1 / len(cells)) for cell in cells]
        for name in self.scaffold:
            if name in labels:  # a template without sentences about sight has no labels for it
                layers, kind = SCAFFOLD[name]
                choices = torch.from_numpy(self.words[kind])
                targets.append(Target(name, *labels[name], after_layer=layers, choices=choices))
        return targets


def belief_sampler(
    packer: BeliefPacker, n_stories: int
) -> Callable[[np.random.Generator], list[PackedBatch]]:
    """``sample(rng)``: one batch of ``n_stories`` stories."""
    return lambda rng: [packer.pack(packer.draw(rng, n_stories))]
