"""Splits share no scene, read from the text, and do not depend on one another's size."""

from __future__ import annotations

import re

import pytest

from circuit_distillation.tasks import get_task
from circuit_distillation.tasks.splits import check_disjoint, make_splits
from circuit_distillation.tasks.words import OBJECTS


def statements(example):
    """The sorted statements of a scene or story, from the text alone."""
    boxes = re.findall(r"he (\w+ is in Box [A-Z])[,.]", example.prompt)
    return tuple(
        sorted(boxes or re.findall(r"(\w+ grabs an opaque \w+ and fills it with \w+)\.", example.prompt))
    )


@pytest.mark.parametrize(
    "task",
    [get_task("entity"), get_task("tom"), get_task("entity", n_boxes=2, exclude_words=OBJECTS[4:])],
    ids=["entity", "tom", "few scenes"],
)
def test_no_two_splits_share_a_scene(task):
    splits = make_splits(task, {"train": 300, "means": 200, "test": 500}, seed=0)
    stated = {name: {statements(example) for example in examples} for name, examples in splits.items()}
    assert {name: len(scenes) for name, scenes in stated.items()} == {"train": 300, "means": 200, "test": 500}
    assert len(set.union(*stated.values())) == 1000


def test_ids_are_unique_over_all_splits():
    splits = make_splits(get_task("tom"), {"train": 50, "test": 50}, seed=0)
    ids = [example.example_id for examples in splits.values() for example in examples]
    assert len(ids) == len(set(ids)) == 400


def test_growing_one_split_leaves_the_others_as_they_are():
    task = get_task("entity")
    small, large = (make_splits(task, {"train": n, "test": 40}, seed=7) for n in (10, 90))
    assert small["test"] == large["test"]
    assert small["train"] == large["train"][: len(small["train"])]
    assert small == make_splits(task, {"train": 10, "test": 40}, seed=7)
    assert small["test"] != make_splits(task, {"train": 10, "test": 40}, seed=8)["test"]


def test_a_shared_scene_is_an_error_even_in_another_order():
    task = get_task("entity", n_boxes=2)
    scene = task.generate(1, 0)
    first, second = statements(scene[0])
    twin = [e for e in scene]
    prompt = f"The {second}, the {first}. Box {first[-1]} contains the"
    spans = {role: _place(prompt, words) for role, words in _roles(first, second).items()}
    twin = [
        type(scene[0])("other", "other", "entity", "reordered", "box", prompt, *_answer(first, second), spans)
    ]
    with pytest.raises(ValueError, match="'train' and 'test' share the scene"):
        check_disjoint(task, {"train": scene, "test": twin})


def _roles(first, second):
    return {
        "object_1": second.split()[0],
        "object_2": first.split()[0],
        "box_1": second[-1],
        "box_2": first[-1],
    }


def _place(prompt, word):
    start = re.search(rf"\b{word}\b", prompt).start()
    return start, start + len(word)


def _answer(first, second):
    return first.split()[0], (second.split()[0], first.split()[0])


def test_empty_and_impossible_splits_are_refused():
    with pytest.raises(ValueError, match="'test' has 0 scenes"):
        make_splits(get_task("entity"), {"train": 1, "test": 0}, seed=0)
    few = get_task("entity", n_boxes=2, exclude_words=OBJECTS[4:])
    with pytest.raises(ValueError, match="Nothing is left"):
        make_splits(few, {"train": 3000, "test": 3000}, seed=0)
