"""Arms as data: trained heads, compared sites, and the order of the examples."""

from __future__ import annotations

import pytest
import torch
from naive.tiny_models import tiny_model
from training.distillation_case import HEADS, PAIRS, settings

from circuit_distillation.models.architecture import architecture
from circuit_distillation.training.arms import compared_sites, get_arm, trained_heads
from circuit_distillation.training.loop import step_batches

SHAPE = architecture(tiny_model())


def test_circuit_arms_train_and_compare_the_mapped_heads():
    arm = get_arm("circuit_ce_align_cka")
    assert trained_heads(arm, HEADS, SHAPE, seed=0) == HEADS
    assert compared_sites(arm, HEADS, PAIRS, SHAPE, seed=0) == PAIRS
    assert trained_heads(get_arm("full_ce"), HEADS, SHAPE, seed=0) is None
    assert compared_sites(get_arm("circuit_ce"), HEADS, PAIRS, SHAPE, seed=0) == []


def test_random_heads_stand_in_for_the_circuit_one_for_one():
    arm = get_arm("random_heads_ce_align_cka")
    heads, sites = trained_heads(arm, HEADS, SHAPE, seed=3), compared_sites(arm, HEADS, PAIRS, SHAPE, seed=3)
    assert not set(heads) & set(HEADS) and len(set(heads)) == 3
    assert [student for student, _ in sites] == heads
    assert [teacher for _, teacher in sites] == [teacher for _, teacher in PAIRS]
    assert any(trained_heads(arm, HEADS, SHAPE, seed) != heads for seed in range(5))
    with pytest.raises(ValueError, match="cannot be drawn"):
        trained_heads(arm, [(layer, head) for layer in range(3) for head in range(3)], SHAPE, seed=0)


def test_layers_of_the_pairs_count_once():
    assert compared_sites(get_arm("layer_cka"), HEADS, PAIRS, SHAPE, 0) == [
        ((1, None), (3, None)),
        ((2, None), (0, None)),
    ]


def test_every_pass_takes_every_example_once_in_an_order_of_its_own():
    options = settings(batch_size=4, bank_batches=2)
    passes = [[step_batches(3 * epoch + place, 24, options) for place in (1, 2, 3)] for epoch in (0, 1)]
    orders = [torch.cat([batch for step in steps for batch in step]).tolist() for steps in passes]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(24)) and orders[0] != orders[1]
    assert all(len(step) == 2 and len(step[0]) == 4 for step in passes[0])
