"""Belief questions from the files of other authors, in their forms."""

from __future__ import annotations

import json

import pytest

from circuit_distillation.tasks.held_out import read_held_out

STORY = "Noor fills the pitcher with oat milk. A coworker swaps it. Noor does not see it."
QUESTION = "Does Noor believe it is oat milk or almond milk?"


@pytest.fixture
def bigtom(tmp_path):
    pairs = {
        "false": ("It is oat milk.", "It is almond milk."),
        "true": ("It is almond milk.", "It is oat milk."),
    }
    for belief, (answer, distractor) in pairs.items():
        lines = [f"{STORY};{QUESTION};{answer};{distractor}"] * 12
        (tmp_path / f"0_forward_belief_{belief}_belief.csv").write_text("\n".join(lines))
    return tmp_path


def test_bigtom_pairs_beliefs_and_shuffles_options(bigtom):
    items = read_held_out(bigtom)
    assert len(items) == 24 and items == read_held_out(bigtom) and items != read_held_out(bigtom, seed=1)
    assert all(
        item.options[item.answer] == ("It is oat milk." if "false" in item.item_id else "It is almond milk.")
        for item in items
    )
    assert {item.answer for item in items} == {0, 1}
    groups = {}
    for item in items:
        groups.setdefault(item.group_id, set()).add(item.condition)
    assert all(len(conditions) == 2 for conditions in groups.values())
    listed = [item.prompt.split("Choose one:\n")[1].startswith(f"- {item.options[0]}") for item in items]
    assert all(listed)


TOMI = """1 Oliver entered the den.
2 Emma entered the den.
3 The tomato is in the green_bucket.
4 Emma exited the den.
5 Oliver moved the tomato to the blue_crate.
6 Where will Emma look for the tomato?\tgreen_bucket\t1
1 The hat is in the red_box.
2 Oliver moved the hat to the blue_crate.
3 Where is the hat really?\tblue_crate\t1
"""


def test_tomi_options_are_the_places_of_the_story(tmp_path):
    (tmp_path / "test.txt").write_text(TOMI)
    (tmp_path / "test.trace").write_text("a,b,first_order_0_tom,false_belief\na,reality,true_belief\n")
    first, second = read_held_out(tmp_path / "test.txt")
    assert first.options == ("green bucket", "blue crate") and first.answer == 0 and second.answer == 1
    assert first.condition == "first_order_0_tom false_belief"
    assert "Oliver moved the tomato to the blue crate.\nQuestion: Where will Emma" in first.prompt
    assert "tomato" not in second.prompt


def test_hitom_options_are_its_choices(tmp_path):
    row = {
        "story": "1 Ann put the pear in the blue_box.",
        "question": "Where is it?",
        "choices": "A. red_box, B. blue_box",
        "answer": "blue_box",
        "question_order": 1,
        "deception": True,
    }
    (tmp_path / "hitom.json").write_text(json.dumps({"data": [row]}))
    (item,) = read_held_out(tmp_path / "hitom.json")
    assert item.options == ("red_box", "blue_box") and item.answer == 1
    assert item.condition == "order 1, deception"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.txt", None, "there is no file"),
        ("a_true_belief.csv", "story;question;answer\n", "row 0 of .* has 3 fields"),
        ("test.txt", "Oliver entered.\n", "line 1 of .* does not begin with its number"),
        (
            "test.txt",
            "1 The hat is in the box.\n2 Where?\tbag\t1\n",
            "line 2 of .* 'bag' is no place of its story",
        ),
        ("test.txt", "1 The hat is in the box.\n", "holds no question"),
        ("h.json", "[]", "is not Hi-ToM's file"),
        ("h.json", '{"data": [{"story": "a"}]}', "row 0 of .* lacks question, choices, answer"),
        (
            "h.json",
            '{"data": [{"story": "a", "question": "b", "choices": "A. c", "answer": "d"}]}',
            "'d' is not among its choices",
        ),
    ],
)
def test_broken_files_are_named_with_their_row(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_held_out(tmp_path if name.endswith(".csv") else tmp_path / name)


def test_a_folder_without_bigtom_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no file of BigToM"):
        read_held_out(tmp_path)
