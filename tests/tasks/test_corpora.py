"""Training and held-out parts of the tuning corpora."""

from __future__ import annotations

import pytest

from circuit_distillation.tasks.corpora import make_corpus


@pytest.mark.parametrize("task", ["entity", "tom"])
def test_parts_have_their_sizes_and_share_no_problem(task):
    train, held_out = make_corpus(task, 3000, 400, seed=0, max_digits=2)
    assert len(train) == 3000 and len({item.content for item in held_out}) == len(held_out) == 400
    assert train == make_corpus(task, 3000, 400, seed=0, max_digits=2)[0]
    other, _ = make_corpus(task, 3000, 400, seed=1, max_digits=2)
    for items in (train, other):
        assert not {item.content for item in items} & {item.content for item in held_out}
        assert not {item.prompt for item in items} & {item.prompt for item in held_out}
    assert {item.kind for item in held_out} == {item.kind for item in train}


def test_too_few_problems_are_an_error():
    with pytest.raises(ValueError, match="raise max_digits"):
        make_corpus("entity", 100, 400, seed=0, max_digits=1)


def test_other_tasks_have_no_corpus():
    with pytest.raises(ValueError, match="'arithmetic'"):
        make_corpus("arithmetic", 10, 1, seed=0, max_digits=2)
