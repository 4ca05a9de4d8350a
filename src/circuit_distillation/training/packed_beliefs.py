"""Belief stories straight to token ids, many at a time: four packed questions a story, and the scaffold.

The scaffold is early-exit cross-entropy on what a reader must find out on the way to an answer. After the shallow exit: at a
drink its owner and container, at "can" and "cannot" the observer, at the end of a question its name and container. After
the deep exit, at the end of a question: who owns the queried container, which drink is in it, what the story says of the
queried character's sight, and whether the character filled it. Without it nothing emerges in thousands of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from circuit_distillation.tasks.theory_of_mind import UNKNOWN, TheoryOfMind
from circuit_distillation.training.belief_layout import CELLS, QUESTIONS, Layout, read_layout, word_ids
from circuit_distillation.training.packing import PADDING_BLOCK, PackedBatch, Target

SCAFFOLD_EXITS = {4: (1, 2), 6: (2, 3), 8: (2, 4)}  # layers of a model → layers before the shallow and the deep exit
# Two words for the ownership bit: a belief comes from filling a container, or else from observing.
OWN_ACTION, NOT_OWN = "fills", "observe"


@dataclass(frozen=True)
class Stories:
    """Token ids of the words of n stories."""

    templates: np.ndarray  # [n] template names
    name: np.ndarray  # [n, 4] two owners, then decoys
    container: np.ndarray  # [n, 2]
    drink: np.ndarray  # [n, 2]


class Labels:
    """Collects (row, column, label) triples by target name."""

    def __init__(self) -> None:
        self._parts: dict[str, list[np.ndarray]] = {}

    def add(self, name: str, rows: np.ndarray, column: int, labels: np.ndarray | int) -> None:
        """The same column of some rows; ``labels`` one a row or one for all."""
        part = np.stack([rows, np.full_like(rows, column), np.broadcast_to(labels, rows.shape)])
        self._parts.setdefault(name, []).append(part)

    def items(self) -> Iterator[tuple[str, tuple[Tensor, Tensor, Tensor]]]:
        """Each target name with its rows, columns and labels, all [label]."""
        for name, parts in self._parts.items():
            rows, columns, labels = torch.from_numpy(np.concatenate(parts, axis=1)).unbind()
            yield name, (rows, columns, labels)


class BeliefPacker:
    """Packs stories of the given templates; ``exits`` are the layers of the scaffold's two exits, None for no scaffold."""

    def __init__(self, task: TheoryOfMind, tokenizer, templates: Mapping[str, float], exits: tuple[int, int] | None):
        if not templates or min(templates.values()) <= 0:
            raise ValueError("templates must map at least one template name to a positive share")
        self.layouts = {name: read_layout(task, tokenizer, name) for name in templates}
        self.shares = np.array(list(templates.values())) / sum(templates.values())
        self.words = {
            "name": word_ids(tokenizer, task.names),
            "container": word_ids(tokenizer, task.containers),
            "drink": word_ids(tokenizer, task.drinks),
            "sight": word_ids(tokenizer, ["cannot", "can"]),
            "sentence": word_ids(tokenizer, ["Story", "Then"]),
            "action": word_ids(tokenizer, [NOT_OWN, OWN_ACTION]),
        }
        self.unknown = int(word_ids(tokenizer, [UNKNOWN])[0])
        self.exits, self.pad_id = exits, tokenizer.pad_token_id

    def draw(self, rng: np.random.Generator, n: int) -> Stories:
        """n random stories, words without replacement within a story."""

        def distinct(kind: str, k: int) -> np.ndarray:
            words = self.words[kind]
            return words[rng.random((n, len(words))).argsort(axis=1)[:, :k]]

        templates = rng.choice(list(self.layouts), size=n, p=self.shares)
        return Stories(templates, distinct("name", 4), distinct("container", 2), distinct("drink", 2))

    def pack(self, stories: Stories) -> PackedBatch:
        """One story a row with its four questions as blocks 1 to 4."""
        n = len(stories.templates)
        length = max(self.layouts[name].length for name in set(stories.templates))
        input_ids = np.full((n, length), self.pad_id)
        position_ids = np.zeros((n, length), dtype=np.int64)
        block = np.full((n, length), PADDING_BLOCK)
        labels = Labels()
        for template, layout in self.layouts.items():
            rows = np.flatnonzero(stories.templates == template)
            if len(rows):
                self._lay_story(layout, stories, rows, input_ids, position_ids, block, labels)
                for k in range(len(QUESTIONS)):
                    self._lay_question(k, layout, stories, rows, input_ids, position_ids, block, labels)
        ids, positions, blocks = (torch.from_numpy(array) for array in (input_ids, position_ids, block))
        return PackedBatch(ids, positions, blocks, self._targets(labels))

    def _lay_story(self, layout: Layout, stories: Stories, rows, input_ids, position_ids, block, labels: Labels) -> None:
        end = len(layout.story)
        input_ids[rows, :end], position_ids[rows, :end], block[rows, :end] = layout.story, np.arange(end), 0
        for slot in layout.slots:
            input_ids[rows, slot.column] = getattr(stories, slot.kind)[rows, slot.index]
            if slot.kind == "drink":
                labels.add("drink_owner", rows, slot.column, stories.name[rows, slot.index])
                labels.add("drink_sentence", rows, slot.column, self.words["sentence"][slot.index])
                labels.add("drink_container", rows, slot.column, stories.container[rows, slot.index])
        for column, seen in zip(layout.verbs, layout.observations, strict=True):
            labels.add("observer", rows, column, stories.name[rows, seen.observer])

    def _lay_question(self, k: int, layout: Layout, stories: Stories, rows, input_ids, position_ids, block, labels) -> None:
        who, which = QUESTIONS[k]
        width = len(layout.question)
        start = len(layout.story) + k * width
        end = start + width
        name, container, drink = stories.name[rows, who], stories.container[rows, which], stories.drink[rows, which]
        input_ids[rows, start:end], block[rows, start:end] = layout.question, k + 1
        position_ids[rows, start:end] = len(layout.story) + np.arange(width)
        input_ids[rows, start + layout.query_name] = name
        input_ids[rows, start + layout.query_container] = container

        cell, last = layout.cell(who, which), end - 1
        labels.add(cell, rows, last, self.unknown if cell == "unseen" else drink)
        labels.add("query_name", rows, last, name)
        labels.add("query_container", rows, last, container)
        labels.add("owner", rows, last, stories.name[rows, which])
        labels.add("content", rows, last, drink)
        labels.add("name_sentence", rows, last, self.words["sentence"][who])
        labels.add("container_sentence", rows, last, self.words["sentence"][which])
        labels.add("own_action", rows, last, self.words["action"][int(who == which)])
        sight = layout.visibility(who, 1 - who)
        if sight is not None:
            labels.add("sight", rows, last, self.words["sight"][int(sight)])

    def _targets(self, labels: Labels) -> list[Target]:
        """Answers by cell, each a mean of its own, so that the cells count alike; then the scaffold with weight 1 each."""
        collected = dict(labels.items())
        present = [cell for cell in CELLS if cell in collected]
        targets = [Target(cell, *collected[cell], weight=1 / len(present)) for cell in present]
        if self.exits is None:
            return targets
        for exit_layer, kinds in zip(self.exits, (SHALLOW, DEEP), strict=True):
            for name, kind in kinds.items():
                if name in collected:
                    choices = torch.from_numpy(self.words[kind])
                    targets.append(Target(name, *collected[name], after_layer=exit_layer, choices=choices))
        return targets


# Target name → the words its softmax is restricted to.
SHALLOW = {
    "drink_owner": "name",
    "drink_container": "container",
    "observer": "name",
    "drink_sentence": "sentence",
    "query_name": "name",
    "query_container": "container",
}
DEEP = {"owner": "name", "content": "drink", "name_sentence": "sentence", "container_sentence": "sentence", "sight": "sight", "own_action": "action"}


def scaffold_exits(n_layers: int) -> tuple[int, int]:
    """Layers before the shallow and the deep exit of a model with this many layers."""
    if n_layers not in SCAFFOLD_EXITS:
        raise ValueError(f"no scaffold for {n_layers} layers: there is one for {', '.join(map(str, SCAFFOLD_EXITS))}")
    return SCAFFOLD_EXITS[n_layers]


def belief_sampler(
    task: TheoryOfMind, tokenizer, templates: Mapping[str, float], n_stories: int, exits: tuple[int, int] | None = None
) -> Callable[[np.random.Generator], list[PackedBatch]]:
    """``sample(rng)``: one batch of ``n_stories`` stories, templates drawn by their shares."""
    packer = BeliefPacker(task, tokenizer, templates, exits)
    return lambda rng: [packer.pack(packer.draw(rng, n_stories))]
