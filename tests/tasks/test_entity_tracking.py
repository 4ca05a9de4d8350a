"""Scenes and labels, checked by reading the prompt text anew."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuit_distillation.tasks import get_task
from circuit_distillation.tasks.words import LETTERS, OBJECTS

STATEMENT = re.compile(r"[Tt]he ([a-z]+) is in Box ([A-Z])[,.]")
QUERY = re.compile(r"\. Box ([A-Z]) contains the$")


def read(prompt):
    """(object by letter in order, queried letter), from the text alone."""
    pairs = STATEMENT.findall(prompt)
    query = QUERY.search(prompt)
    assert query and len(dict((letter, thing) for thing, letter in pairs)) == len(pairs)
    return {letter: thing for thing, letter in pairs}, query.group(1)


@settings(max_examples=30, deadline=None)
@given(n_boxes=st.integers(2, 24), seed=st.integers(0, 2**40))
def test_labels_agree_with_the_text(n_boxes, seed):
    task = get_task("entity", n_boxes=n_boxes)
    examples = task.generate(3, seed)
    assert len(examples) == 3 * n_boxes
    for example in examples:
        boxes, query = read(example.prompt)
        assert example.answer == boxes[query]
        assert example.candidates == tuple(boxes.values()) and len(set(example.candidates)) == n_boxes
        assert (example.task, example.cell) == ("entity", "box")


def test_each_scene_asks_once_about_every_box():
    examples = get_task("entity").generate(50, 0)
    groups = {}
    for example in examples:
        groups.setdefault(example.group_id, []).append(read(example.prompt))
    assert len(groups) == 50 and len({example.example_id for example in examples}) == 350
    for scene in groups.values():
        assert [query for _, query in scene] == list(scene[0][0])


def test_spans_cut_out_the_roles():
    for example in get_task("entity").generate(20, 1) + get_task("entity").corrupt(
        get_task("entity").generate(9, 2), 0
    ):
        boxes, query = read(example.prompt)
        assert [example.text(f"box_{k}") for k in range(1, 8)] == list(boxes)
        assert [example.text(f"object_{k}") for k in range(1, 8)] == list(boxes.values())
        assert example.text("query_label") == query
        assert example.spans["query_label"][0] == example.prompt.rindex("Box ") + 4
        assert boxes[example.text("previous_label")] == example.text("answer_object") == example.answer
        assert example.text("last") == "the" and example.spans["last"][1] == len(example.prompt)
        if query in boxes:
            assert example.text("previous_label") == query


@settings(max_examples=20, deadline=None)
@given(n_boxes=st.sampled_from([2, 7, 24]), seed=st.integers(0, 10_000))
def test_corrupted_counterparts_share_nothing_but_the_layout(n_boxes, seed):
    task = get_task("entity", n_boxes=n_boxes)
    clean = task.generate(2, seed)
    for before, after in zip(clean, task.corrupt(clean, seed), strict=True):
        (old, asked), (new, query) = read(before.prompt), read(after.prompt)
        assert len(new) == n_boxes and not set(old.values()) & set(new.values())
        assert query not in new and query != asked
        assert list(new).index(after.text("previous_label")) != list(old).index(asked)
        assert after.example_id == f"{before.example_id}-corrupt"


def test_the_corrupted_slot_is_spread_over_all_others():
    task = get_task("entity")
    clean = task.generate(200, 0)
    pairs = {
        (a.candidates.index(a.answer), b.candidates.index(b.answer))
        for a, b in zip(clean, task.corrupt(clean, 5))
    }
    assert pairs == {(i, j) for i in range(7) for j in range(7) if i != j}


def test_generation_depends_on_the_seed_alone():
    task = get_task("entity")
    assert task.generate(5, 3) == get_task("entity").generate(5, 3)
    assert task.generate(5, 3) == task.generate(9, 3)[:35]
    assert task.generate(5, 3) != task.generate(5, 4)
    clean = task.generate(5, 3)
    assert task.corrupt(clean, 1) == task.corrupt(clean[::-1], 1)[::-1]
    assert task.corrupt(clean, 1) != task.corrupt(clean, 2)


def test_letters_and_objects_stand_in_every_slot():
    task = get_task("entity")
    scenes = [read(example.prompt)[0] for example in task.generate(400, 0)[::7]]
    for slot in range(7):
        assert {list(scene)[slot] for scene in scenes} == set(LETTERS)
        assert len({list(scene.values())[slot] for scene in scenes}) > 0.9 * len(OBJECTS)


def test_no_scene_twice_and_none_that_is_taken():
    task = get_task("entity", n_boxes=2, exclude_words=OBJECTS[4:])
    first = task.generate(800, 0)
    contents = {task.content(example) for example in first}
    assert len(contents) == 800
    rest = task.generate(800, 0, taken=contents)
    assert not contents & {task.content(example) for example in rest}
    with pytest.raises(ValueError, match="Nothing is left beside the 3900 scenes"):
        task.generate(5000, 0)


def test_content_ignores_the_order_of_statements():
    task = get_task("entity")
    for example in task.generate(5, 0):
        boxes, _ = read(example.prompt)
        assert task.content(example) == tuple(sorted(f"{thing} {letter}" for letter, thing in boxes.items()))


def test_vocabulary_covers_every_sign():
    task = get_task("entity")
    known = set(task.vocabulary())
    for example in task.generate(300, 0):
        assert set(re.findall(r"\w+|[^\w\s]", f"{example.prompt} {example.answer}")) <= known


@pytest.mark.parametrize("n_boxes", [1, 0, 25])
def test_impossible_numbers_of_boxes_are_refused(n_boxes):
    with pytest.raises(ValueError, match="between 2 and 24"):
        get_task("entity", n_boxes=n_boxes)


def test_too_few_objects_and_foreign_examples_are_refused():
    with pytest.raises(ValueError, match="exclude fewer"):
        get_task("entity", exclude_words=OBJECTS[13:])
    with pytest.raises(ValueError, match="options they were made with"):
        get_task("entity", n_boxes=3).corrupt(get_task("entity").generate(1, 0), 0)
