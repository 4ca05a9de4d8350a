"""Training and held-out parts of the tuning corpora."""

from __future__ import annotations

import pytest

from circuit_distillation.tasks.corpora import make_corpus


@pytest.mark.parametrize("task", ["entity", "tom"])
def test_nothing_held_out_is_in_training_whatever_the_seed(task):
    corpus = make_corpus(task, 2000, 100, seed=0, max_digits=2)
    assert corpus == make_corpus(task, 2000, 100, seed=0, max_digits=2)
    assert (len(corpus.train), len(corpus.unseen_prompts), len(corpus.unseen_problems)) == (2000, 100, 100)
    for train in (corpus.train, make_corpus(task, 2000, 100, seed=1, max_digits=2).train):
        assert not {item.content for item in train} & {item.content for item in corpus.unseen_problems}
        held_out = corpus.unseen_prompts + corpus.unseen_problems
        assert not {item.prompt for item in train} & {item.prompt for item in held_out}


def test_unseen_prompts_ask_known_problems():
    corpus = make_corpus("entity", 2000, 100, seed=0, max_digits=1)
    known = {item.content for item in corpus.train}
    assert all(item.content in known for item in corpus.unseen_prompts)
    assert len({item.content for item in corpus.unseen_problems}) == len(corpus.unseen_problems)


def test_too_few_problems_are_an_error():
    with pytest.raises(ValueError, match="raise max_digits"):
        make_corpus("entity", 10, 1, seed=0, max_digits=1)


def test_tasks_other_than_entity_tracking_are_tuned_on_instructions():
    of_sally, of_tom = (make_corpus(task, 50, 20, seed=0, max_digits=1) for task in ("sally", "tom"))
    assert of_sally == of_tom != make_corpus("entity", 50, 20, seed=0, max_digits=2)
