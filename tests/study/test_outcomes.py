"""Folding predictions into outcomes, and the names of stored files."""

from __future__ import annotations

import pytest

from circuit_distillation.study.outcomes import Model, Outcomes, outcome_table, parse_partition

from . import synthetic


def test_outcomes_come_back_as_they_were():
    stored = list(synthetic.stored(tasks=("tom",)))
    read = Outcomes(outcome_table(stored))
    assert (
        read.tasks() == ["tom"]
        and read.seeds("tom") == [0, 1, 2]
        and read.training_seeds("tom", 1) == [0, 1, 2]
    )
    for model, frame in stored:
        assert read.right(model, "circuit").tolist() == frame["circuit_correct"].tolist()
    random = read.right(Model("tom", 0, None, "large", "tuned_discovered"), "random")
    assert random.mean() == pytest.approx(0.025)


def test_a_model_that_no_draw_changes_serves_every_draw():
    read = Outcomes(outcome_table(synthetic.stored(tasks=("tom",))))
    base = read.right(Model("tom", 2, None, "small", "base"), "full")
    assert (read.right(Model("tom", 2, 1, "small", "base"), "full") == base).all()


def test_a_run_that_is_still_under_way_does_not_count():
    late = Model("tom", 1, 2, "medium", "full_ce")
    read = Outcomes(outcome_table(kept for kept in synthetic.stored(tasks=("tom",)) if kept[0] != late))
    assert read.training_seeds("tom", 1) == [0, 1] and read.training_seeds("tom", 0) == [0, 1, 2]
    alone = [
        kept for kept in synthetic.stored(tasks=("tom",)) if kept[0].training_seed is None or kept[0].seed < 2
    ]
    assert Outcomes(outcome_table(alone)).seeds("tom") == [0, 1]


def test_rows_are_matched_by_example_and_other_test_sets_are_refused():
    model, frame = next(iter(synthetic.stored()))
    other = Model("entity", 0, None, "small", "base")
    shuffled = outcome_table([(model, frame), (other, frame.sample(frac=1, random_state=0))])
    read = Outcomes(shuffled)
    assert (read.right(model, "full") == read.right(other, "full")).all()
    with pytest.raises(ValueError, match="other examples"):
        outcome_table([(model, frame), (other, frame.head(50))])
    with pytest.raises(ValueError, match="make study"):
        outcome_table([])


def test_a_model_that_was_not_run_is_named():
    read = Outcomes(outcome_table(synthetic.stored(tasks=("tom",))))
    with pytest.raises(KeyError, match="small.nothing.full"):
        read.right(Model("tom", 0, None, "small", "nothing"), "full")


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("seed0/tom/paper/small.circuit_ce", Model("tom", 0, 0, "small", "circuit_ce")),
        ("seed12/entity/paper.training2/medium.full_ce", Model("entity", 12, 2, "medium", "full_ce")),
        ("seed0/tom/paper/small.base", Model("tom", 0, None, "small", "base")),
        ("seed0/tom/large.tuned", Model("tom", 0, None, "large", "tuned")),
        ("seed0/tom/large_tuned", Model("tom", 0, None, "large", "tuned")),
        ("seed0/tom/lambda5/small.circuit_ce", None),
        ("seed0/tom/paper.training1/small/extra", None),
        ("notes", None),
    ],
)
def test_partitions_name_models(name, model):
    assert parse_partition(name, "paper") == model
