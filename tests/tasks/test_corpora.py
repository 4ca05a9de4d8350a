"""Training and held-out parts of the tuning corpora."""

from __future__ import annotations

import pytest

from circuit_distillation.tasks.corpora import CORPORA, Corpus, make_corpus


def made(task: str, n_train: int, n_heldout: int, seed: int = 0, max_digits: int = 2, kinds=None) -> Corpus:
    """The corpus of these settings."""
    settings = {"n_train": n_train, "n_heldout": n_heldout, "max_digits": max_digits, "kinds": kinds}
    return make_corpus(CORPORA[task](**settings), seed)


@pytest.mark.parametrize("task", ["entity", "tom"])
def test_nothing_held_out_is_in_training_whatever_the_seed(task):
    corpus = made(task, 2000, 100)
    assert corpus == made(task, 2000, 100)
    assert (len(corpus.train), len(corpus.unseen_prompts), len(corpus.unseen_problems)) == (2000, 100, 100)
    for train in (corpus.train, made(task, 2000, 100, seed=1).train):
        assert not {item.content for item in train} & {item.content for item in corpus.unseen_problems}
        held_out = corpus.unseen_prompts + corpus.unseen_problems
        assert not {item.prompt for item in train} & {item.prompt for item in held_out}


def test_unseen_prompts_ask_known_problems():
    corpus = made("entity", 2000, 100, max_digits=1)
    known = {item.content for item in corpus.train}
    assert all(item.content in known for item in corpus.unseen_prompts)
    assert len({item.content for item in corpus.unseen_problems}) == len(corpus.unseen_problems)


def test_too_few_problems_are_an_error():
    with pytest.raises(ValueError, match="raise max_digits"):
        made("entity", 1, 10, max_digits=1, kinds=["div_digit"])


def test_tasks_other_than_entity_tracking_are_tuned_on_instructions():
    of_sally, of_tom = (made(task, 50, 20) for task in ("sally", "tom"))
    assert of_sally == of_tom != made("entity", 50, 20)
