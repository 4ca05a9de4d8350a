"""Packed scenes hold the task's own prompts, token for token."""

from __future__ import annotations

import numpy as np
import pytest

from circuit_distillation.models.mini import build_tokenizer
from circuit_distillation.tasks.entity_tracking import EntityTracking
from circuit_distillation.training.packed_entity import EntityPacker, single_tokens


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(EntityTracking().vocabulary())


@pytest.fixture(scope="module")
def packer(tokenizer):
    return EntityPacker(tokenizer)


@pytest.mark.parametrize("n_boxes", [2, 4, 7])
def test_a_packed_scene_is_the_prompts_of_the_task(tokenizer, packer, n_boxes):
    examples = EntityTracking(n_boxes).generate(3, seed=5)
    scenes = examples[::n_boxes]
    objects = [[example.text(f"object_{slot + 1}") for slot in range(n_boxes)] for example in scenes]
    letters = [[example.text(f"box_{slot + 1}") for slot in range(n_boxes)] for example in scenes]
    ids = [single_tokens(tokenizer, sum(words, [])).view(3, -1) for words in (objects, letters)]
    batch = packer.pack(*ids)
    answer = batch.targets[0]
    for i, example in enumerate(examples):
        row, own = i // n_boxes, i % n_boxes + 1
        keep = (batch.block[row] == 0) | (batch.block[row] == own)
        assert batch.input_ids[row][keep].tolist() == tokenizer(example.prompt).input_ids
        assert batch.position_ids[row][keep].tolist() == list(range(keep.sum()))
        assert batch.block[row, answer.cols[i]] == own and answer.rows[i] == row
        assert keep[: answer.cols[i] + 1].sum() == keep.sum()  # the answer is read at the prompt's last token
        assert tokenizer.decode(answer.labels[i]) == example.answer


def test_the_scaffold_asks_for_the_object_of_each_box_and_the_letter_in_question(tokenizer, packer):
    objects, letters = packer.random_scenes(np.random.default_rng(0), 2, 3)
    batch = packer.pack(objects, letters, scaffold_layer=2)
    box, asked = batch.targets[1:]
    assert batch.input_ids[box.rows, box.cols].tolist() == letters.flatten().tolist()
    assert box.labels.tolist() == objects.flatten().tolist()
    assert asked.labels.tolist() == letters.flatten().tolist()
    assert asked.cols.tolist() == batch.targets[0].cols.tolist()
    assert {target.after_layer for target in (box, asked)} == {2}


def test_scenes_repeat_no_word_and_follow_the_generator(packer):
    scenes = packer.random_scenes(np.random.default_rng(1), 50, 7)
    again = packer.random_scenes(np.random.default_rng(1), 50, 7)
    for words, repeated in zip(scenes, again, strict=True):
        assert all(len(set(row)) == 7 for row in words.tolist())
        assert words.tolist() == repeated.tolist()


def test_words_a_tokenizer_splits_are_named(tokenizer):
    with pytest.raises(ValueError, match="flying apple, zzz"):
        single_tokens(tokenizer, ["apple", "flying apple", "zzz"])
