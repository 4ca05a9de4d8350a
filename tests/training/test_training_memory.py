"""What training some heads holds in memory beside training all weights."""

from __future__ import annotations

import pytest
import torch
from naive.allocations import peak_bytes
from training.distillation_case import HEADS, PAIRS, case, settings
from transformers import LlamaConfig, LlamaForCausalLM

from circuit_distillation.training.distill import distill


def wide_student():
    """Three layers whose weights are much larger than the activations of a small batch."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=16,
    )
    return LlamaForCausalLM(config).double()


def held_in_training(arm: str) -> int:
    """Bytes of a wide student's weights and of all that its training holds at once."""
    model = wide_student()
    weights = sum(parameter.nbytes for parameter in model.parameters())
    splits = (CASE.train, CASE.validation, CASE.signals)
    chosen = dict(heads=HEADS, pairs=PAIRS, settings=settings(arm, batch_size=2, epochs=1))
    return weights + peak_bytes(lambda: distill(model, *splits, **chosen, progress_bar=False))


CASE = case(n=4)


@pytest.mark.parametrize("arm", ["circuit_ce", "circuit_align_cka", "circuit_ce_align_cka"])
def test_a_circuit_arm_holds_neither_gradients_nor_moments_of_frozen_weights(arm):
    assert held_in_training(arm) <= 0.6 * held_in_training("full_ce")
