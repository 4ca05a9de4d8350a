"""Scenes with state changes against a reader that follows their text."""

from __future__ import annotations

import re

from circuit_distillation.tasks.state_changes import MOST, N_BOXES, state_change_scenes

ITEMS = state_change_scenes(30, 8, seed=0)


def follow(prompt: str) -> tuple[str, str, int]:
    """What the box that is asked for holds at first and in the end, and how often it is touched."""
    opening, *sentences = prompt.split(". ")
    boxes = {}
    for statement in opening.split(", "):
        box, held = re.fullmatch(r"Box (\d) contains (.+)", statement).groups()
        boxes[box] = re.findall(r"the (\w+)", held)
    asked = re.fullmatch(r"Box (\d) contains", sentences.pop()).group(1)
    first, touched = list(boxes[asked]), 0
    for sentence in sentences:
        thing, *where = re.findall(r"the (\w+)|Box (\d)", sentence)
        thing, where = thing[0], [box for _, box in where]
        if sentence.startswith(("Move", "Remove")):
            boxes[where[0]].remove(thing)
        if sentence.startswith(("Move", "Put")):
            boxes[where[-1]].append(thing)
        assert all(len(held) <= MOST for held in boxes.values())
        touched += asked in where
    texts = (" and ".join(f"the {thing}" for thing in held) or "nothing" for held in (first, boxes[asked]))
    return *texts, touched


def test_the_answer_is_what_following_the_text_gives():
    for item in ITEMS:
        first, last, touched = follow(item.prompt)
        assert item.options[item.answer] == f"{last}." and f"{first}." in item.options
        assert item.condition == f"{touched} operations on the box"
        assert len(set(item.options)) == len(item.options)


def test_scenes_are_groups_of_all_boxes_and_follow_from_the_seed():
    assert len(ITEMS) == 30 * N_BOXES and len({item.group_id for item in ITEMS}) == 30
    assert state_change_scenes(30, 8, seed=0) == ITEMS != state_change_scenes(30, 8, seed=1)
    assert state_change_scenes(10, 8, seed=0) == ITEMS[: 10 * N_BOXES]
    operations = {item.prompt.count(". ") - 1 for item in ITEMS}
    assert {0, 8} <= operations <= set(range(9))
    assert any(follow(item.prompt)[0] != follow(item.prompt)[1] for item in ITEMS)
