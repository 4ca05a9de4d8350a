from __future__ import annotations

import torch

from circuit_distillation.circuits.random_circuits import random_circuits
from circuit_distillation.models.architecture import Architecture

ARCH = Architecture(n_layers=4, n_heads=6, n_kv_heads=2, d_head=8, d_model=48, vocab_size=10)
CIRCUIT = [(0, 1), (0, 2), (3, 5), (3, 4), (3, 0)]


def test_size_is_matched_and_every_head_is_drawn_alike() -> None:
    masks = random_circuits(ARCH, CIRCUIT, 4000, seed=1)
    assert (masks.flatten(1).sum(1) == 5).all()
    rates = masks.float().mean(0)
    assert (rates - 5 / 24).abs().max() < 0.03  # four standard errors are 0.026


def test_seeds_decide_the_draw() -> None:
    one, same, other = (random_circuits(ARCH, CIRCUIT, 3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_repeated_heads_count_once() -> None:
    assert (random_circuits(ARCH, CIRCUIT * 2, 3, seed=1).flatten(1).sum(1) == 5).all()
