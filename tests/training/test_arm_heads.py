"""Trained heads, compared sites, and the order of the examples."""

from __future__ import annotations

import pytest
import torch
from naive.tiny_models import tiny_model
from training.distillation_case import HEADS, PAIRS, settings

from circuit_distillation.models.architecture import architecture
from circuit_distillation.training.arm_heads import compared_sites, trained_heads
from circuit_distillation.training.loop import step_batches

SHAPE = architecture(tiny_model())


def test_circuit_arms_train_and_compare_the_mapped_heads():
    arm = settings("circuit_ce_align_cka")
    assert trained_heads(arm, HEADS, SHAPE) == HEADS
    assert compared_sites(arm, HEADS, PAIRS, SHAPE) == PAIRS
    assert trained_heads(settings("full_ce"), HEADS, SHAPE) is None
    assert compared_sites(settings("circuit_ce"), HEADS, PAIRS, SHAPE) == []


def test_random_heads_stand_in_for_the_circuit_one_for_one():
    arms = [settings("random_heads_ce_align_cka", seed) for seed in range(5)]
    heads, sites = trained_heads(arms[3], HEADS, SHAPE), compared_sites(arms[3], HEADS, PAIRS, SHAPE)
    assert not set(heads) & set(HEADS) and len(set(heads)) == 3
    assert [student for student, _ in sites] == heads
    assert [teacher for _, teacher in sites] == [teacher for _, teacher in PAIRS]
    assert any(trained_heads(arm, HEADS, SHAPE) != heads for arm in arms)
    with pytest.raises(ValueError, match="cannot be drawn"):
        trained_heads(arms[0], [(layer, head) for layer in range(3) for head in range(3)], SHAPE)


def test_layers_of_the_pairs_count_once():
    assert compared_sites(settings("layer_cka"), HEADS, PAIRS, SHAPE) == [
        ((1, None), (3, None)),
        ((2, None), (0, None)),
    ]


def test_every_pass_takes_every_example_once_in_an_order_of_its_own():
    options = settings("full_ce", batch_size=4, bank_batches=2)
    passes = [[step_batches(3 * epoch + place, 24, options) for place in (1, 2, 3)] for epoch in (0, 1)]
    orders = [torch.cat([batch for step in steps for batch in step]).tolist() for steps in passes]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(24)) and orders[0] != orders[1]
    assert all(len(step) == 2 and len(step[0]) == 4 for step in passes[0])
