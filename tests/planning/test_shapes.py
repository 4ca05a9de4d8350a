"""Sizes of the paper's models against their published numbers of weights, and of a real model."""

from __future__ import annotations

import pytest
from naive.tiny_models import tiny_model

from circuit_distillation.planning.shapes import KNOWN, Shape, shape_of

# 2 layers of 2 query heads and 1 key/value head of size 4, width 8, MLP 10, 20 words, untied.
TINY = Shape(2, 2, 1, 4, 8, 10, 20, tied=False)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("meta-llama/Llama-3.2-1B", 1_235_814_400),
        ("meta-llama/Llama-3.2-3B", 3_212_749_824),
        ("meta-llama/Llama-3.1-8B", 8_030_261_248),
    ],
)
def test_the_models_of_the_paper_have_their_published_numbers_of_weights(name, parameters):
    assert KNOWN[name].parameters == parameters


def test_a_shape_read_from_a_config_counts_the_weights_of_its_model(tmp_path):
    model = tiny_model()
    model.config.save_pretrained(tmp_path)
    assert shape_of(tmp_path / "config.json").parameters == sum(p.numel() for p in model.parameters())


def test_weights_by_hand():
    # A layer: q 8x8, k and v 8x4 each, o 8x8, three 8x10, two norms of 8.
    assert TINY.layer_parameters == 64 + 32 + 32 + 64 + 240 + 16
    assert TINY.parameters == 2 * 448 + 8 + 2 * 160
    # Adapters of rank 3 on q (8 in, 8 out) and v (8 in, 4 out).
    assert TINY.lora_parameters(3, ("q_proj", "v_proj")) == 2 * 3 * (16 + 12)
    # Half of all heads: of 2 x (2 + 2 + 1 + 1) blocks of 8 x 4.
    assert TINY.head_parameters(0.5) == 2 * 6 * 32 // 2
