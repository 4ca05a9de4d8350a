"""Who was away believes in the first place: beliefs, cells and counterparts, read from the text anew."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from circuit_distillation.models.encoding import encode
from circuit_distillation.models.mini import build_tokenizer
from circuit_distillation.tasks import get_task
from circuit_distillation.tasks.splits import make_splits
from circuit_distillation.tasks.words import CONTAINERS, NAMES

STORY = re.compile(
    r"Story: (\w+) puts the (\w+) in the (\w+)\. (\w+) (leaves|watches) the room\. "
    r"(\w+) moves the (\w+) to the (\w+)\.\nQuestion: Where does (\w+) think the (\w+) is\?\nAnswer:$"
)


def read(prompt: str) -> tuple[str, str]:
    """(answer, cell) by the text alone."""
    owner, thing, first, again, verb, mover, moved, second, asked, named = STORY.match(prompt).groups()
    assert owner == again != mover and thing == moved == named and first != second
    if asked == mover:
        return second, "mover"
    assert asked == owner
    return (first, "away") if verb == "leaves" else (second, "present")


@pytest.fixture(scope="module")
def task():
    return get_task("sally")


def test_beliefs_and_cells_agree_with_the_text(task):
    examples = task.generate(200, 0)
    assert [(example.answer, example.cell) for example in examples] == [read(x.prompt) for x in examples]
    assert Counter(example.cell for example in examples) == {"mover": 200, "away": 100, "present": 100}
    assert all(example.answer in example.candidates for example in examples)
    assert len({example.example_id for example in examples}) == 400 == 2 * len({x.group_id for x in examples})


def test_the_spans_are_those_of_the_words(task):
    for example in task.generate(20, 1):
        owner, thing, first, *_ = STORY.match(example.prompt).groups()
        words = ("name_1", "object", "container_1", "query_name", "last")
        assert [example.text(role) for role in words[:3]] == [owner, thing, first]
        assert example.text("query_name") in (owner, example.text("name_2"))
        assert example.text("last") == "Answer:" and example.spans["last"][1] == len(example.prompt)


def test_a_counterpart_has_another_answer_and_the_same_layout(task):
    clean = task.generate(100, 2)
    corrupted = task.corrupt(clean, 3)
    tokenizer = build_tokenizer(task.vocabulary())
    encoded = [encode(tokenizer, examples) for examples in (clean, corrupted)]
    assert encoded[0].input_ids.shape == encoded[1].input_ids.shape
    assert [x.answer for x in corrupted] == [read(x.prompt)[0] for x in corrupted]
    changed = (encoded[0].input_ids != encoded[1].input_ids).sum(1)
    for before, after, n in zip(clean, corrupted, changed.tolist(), strict=True):
        assert before.answer != after.answer
        assert (n == 1) == (before.cell != "mover")  # one verb, or every name, object and container
    assert task.corrupt(clean[5:6], 3) == corrupted[5:6]


def test_splits_share_no_story(task):
    splits = make_splits(task, {"train": 300, "test": 300}, seed=0)
    contents = [{task.content(example) for example in examples} for examples in splits.values()]
    assert len(contents[0] | contents[1]) == 600 and not contents[0] & contents[1]


def test_too_few_words_are_named():
    with pytest.raises(ValueError, match="Only 3 containers are left, 4 are needed"):
        get_task("sally", exclude_words=CONTAINERS[3:])
    assert len(get_task("sally", exclude_words=NAMES[10:]).names) == 10
