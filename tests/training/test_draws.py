"""Training seeds draw blocks that never meet."""

from __future__ import annotations

import pytest

from circuit_distillation.training.draws import draw_name, order_seed, training_block


def test_blocks_follow_one_another_and_the_first_is_the_beginning():
    prompts = list(range(10))
    assert [list(training_block(prompts, 3, draw)) for draw in range(3)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    with pytest.raises(ValueError, match="needs 12: raise data_generation.groups"):
        training_block(prompts, 3, 3)


def test_names_and_orders_of_the_first_training_seed_are_those_without_one():
    assert (draw_name("paper", 0), draw_name("paper", 2)) == ("paper", "paper.training2")
    assert order_seed(5, 0) == 5
    assert len({order_seed(seed, draw) for seed in range(10) for draw in range(10)}) == 100
