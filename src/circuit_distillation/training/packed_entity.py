"""Make batches of entity-tracking scenes as token ids; one packed sequence asks about every box.

The text is the task's own: one prompt of it is tokenised for its layout, and random objects and letters are
put in their places. A scene goes up to the word before the letter in question; a question is the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuit_distillation.tasks.entity_tracking import EntityTracking
from circuit_distillation.tasks.words import LETTERS
from circuit_distillation.training.packing import PackedBatch, Target


@dataclass(frozen=True)
class SceneLayout:
    """Where things are in a prompt of n boxes."""

    prompt: Tensor  # [position] token ids of some prompt
    object_cols: Tensor  # [box]
    letter_cols: Tensor  # [box]
    scene_length: int  # tokens before the letter in question


def prompt_layout(tokenizer: Any, n_boxes: int) -> SceneLayout:
    """SceneLayout of the task's prompts of ``n_boxes`` boxes under a fast tokenizer."""
    example = EntityTracking(n_boxes).generate(1, seed=0)[0]
    encoding = tokenizer(example.prompt)
    column = {role: encoding.char_to_token(start) for role, (start, _) in example.spans.items()}
    return SceneLayout(
        prompt=torch.tensor(encoding.input_ids),
        object_cols=torch.tensor([column[f"object_{slot + 1}"] for slot in range(n_boxes)]),
        letter_cols=torch.tensor([column[f"box_{slot + 1}"] for slot in range(n_boxes)]),
        scene_length=column["query_label"],
    )


def single_tokens(tokenizer: Any, words: Sequence[str]) -> Tensor:
    """Token ids [word] of words after a space; ValueError for a word that is not one token."""
    ids = [tokenizer(" " + word, add_special_tokens=False).input_ids for word in words]
    bad = [word for word, i in zip(words, ids, strict=True) if len(i) != 1 or i[0] == tokenizer.unk_token_id]
    if bad:
        raise ValueError(f"not single tokens of this tokenizer: {', '.join(bad)}; leave them out of the task")
    return torch.tensor(ids)[:, 0]


class EntityPacker:
    """Random scenes of any size from 2 to ``max_boxes`` boxes as packed batches."""

    def __init__(self, tokenizer: Any, max_boxes: int = 7) -> None:
        self.objects = single_tokens(tokenizer, EntityTracking().objects)
        self.letters = single_tokens(tokenizer, LETTERS)
        self.layouts = {n: prompt_layout(tokenizer, n) for n in range(2, max_boxes + 1)}

    def packed_length(self, n_boxes: int) -> int:
        """Tokens of one packed scene with all its questions."""
        layout = self.layouts[n_boxes]
        return layout.scene_length + n_boxes * (len(layout.prompt) - layout.scene_length)

    def random_scenes(self, rng: np.random.Generator, n_scenes: int, n_boxes: int) -> tuple[Tensor, Tensor]:
        """(objects, letters), each [scene, box] token ids, none twice in a scene."""

        def draw(choices: Tensor) -> Tensor:
            order = rng.random((n_scenes, len(choices))).argsort(axis=1)[:, :n_boxes]
            return choices[torch.from_numpy(order)]

        return draw(self.objects), draw(self.letters)

    def pack(self, objects: Tensor, letters: Tensor, scaffold_layer: int | None = None) -> PackedBatch:
        """All questions about the given scenes, [scene, box] token ids each.

        ``scaffold_layer`` adds two targets read after that layer: at each box letter its object (over
        objects), at the last token the letter in question (over letters).
        """
        n, k = objects.shape
        layout = self.layouts[k]
        scene = layout.prompt[: layout.scene_length].repeat(n, 1)
        scene[:, layout.object_cols], scene[:, layout.letter_cols] = objects, letters
        question = layout.prompt[layout.scene_length :].repeat(n, k, 1)  # [scene, box, position]
        question[:, :, 0] = letters
        length = question.shape[2]
        within = layout.scene_length + torch.arange(length).repeat(k)
        position = torch.cat([torch.arange(layout.scene_length), within])
        block = torch.cat([torch.zeros_like(scene[0]), 1 + torch.arange(k).repeat_interleave(length)])
        rows = torch.arange(n).repeat_interleave(k)
        last = (layout.scene_length - 1 + length * (1 + torch.arange(k))).repeat(n)
        answers, asked = objects.flatten(), letters.flatten()
        targets = [Target("answer", rows, last, answers)]
        if scaffold_layer is not None:
            at_letters = layout.letter_cols.repeat(n)
            targets.append(Target("object_of_box", rows, at_letters, answers, scaffold_layer, self.objects))
            targets.append(Target("letter_in_question", rows, last, asked, scaffold_layer, self.letters))
        ids = torch.cat([scene, question.flatten(1)], dim=1)
        return PackedBatch(ids, position.expand(n, -1), block.expand(n, -1), targets)
