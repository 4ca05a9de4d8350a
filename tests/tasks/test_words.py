"""The word lists, and the choice of a task by name."""

from __future__ import annotations

from itertools import combinations

import pytest

from circuit_distillation.tasks import get_task
from circuit_distillation.tasks.words import CONTAINERS, DRINKS, LETTERS, NAMES, OBJECTS, signs

LISTS = {"objects": OBJECTS, "letters": LETTERS, "names": NAMES, "containers": CONTAINERS, "drinks": DRINKS}
FRAME = """the box is in contains grabs an opaque and fills it with then can cannot observe actions what does
believe question story answer unknown""".split()


def test_sizes():
    assert len(OBJECTS) == 85 and len(LETTERS) == 26
    assert len(NAMES) >= 40 and len(CONTAINERS) >= 20 and len(DRINKS) >= 20


def test_no_word_stands_twice():
    for words in LISTS.values():
        assert len(set(words)) == len(words)
    for (_, first), (_, second) in combinations(LISTS.items(), 2):
        assert not {word.lower() for word in first} & {word.lower() for word in second}


def test_no_word_is_a_word_of_the_templates():
    for words in LISTS.values():
        assert not set(words) & set(FRAME)


def test_words_are_plain():
    assert all(word.isalpha() and word.islower() for word in (*OBJECTS, *CONTAINERS, *DRINKS))
    assert all(name.isalpha() and name.istitle() and not name.endswith("s") for name in NAMES)


def test_signs_are_single():
    assert signs(["Ann's 12+3\n"]) == ["\n", "'", "+", "1", "2", "3", "Ann", "s"]


def test_unknown_tasks_and_options_name_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'entity'"):
        get_task("entitty")
    with pytest.raises(ValueError, match="There is: entity, tom"):
        get_task("zzz")
    with pytest.raises(ValueError, match="Did you mean 'n_boxes'"):
        get_task("entity", n_box=3)
    with pytest.raises(ValueError, match="no option 'n_boxes'"):
        get_task("tom", n_boxes=3)
