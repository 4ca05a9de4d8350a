"""Work by hand on a tiny shape, and against counts that were made of the same sweeps elsewhere."""

from __future__ import annotations

import pytest

from circuit_distillation.planning.shapes import KNOWN, Shape
from circuit_distillation.planning.work import ablation_flops, forward_flops, patching_flops, training_flops

TINY = Shape(2, 2, 1, 4, 8, 10, 20, tied=False)


def test_a_forward_by_hand():
    # A token and layer: 2 * 8 * (2 + 1) * 4 projections, 3 * 8 * 10 MLP, 2 * 5 * 2 * 4 attention to 5 tokens.
    per_token = 192 + 240 + 80
    assert forward_flops(TINY, 5) == 2 * (2 * 5 * per_token + 8 * 20)
    assert forward_flops(TINY, 5, unembedded=5) == 2 * (2 * 5 * per_token + 5 * 8 * 20)


def test_training_by_hand():
    assert training_flops(TINY, 10, trains_all=True, recomputes=False) == 6 * TINY.parameters * 10
    assert training_flops(TINY, 10, trains_all=False, recomputes=False) == 4 * TINY.parameters * 10
    assert training_flops(TINY, 10, trains_all=False, recomputes=True) == 6 * TINY.parameters * 10


@pytest.mark.parametrize(
    ("name", "ablation", "to_logits", "to_queries"),
    [
        ("meta-llama/Llama-3.2-1B", 237, 4.8, 7.5),
        ("meta-llama/Llama-3.2-3B", 321, 4.7, 8.7),
        ("meta-llama/Llama-3.1-8B", 492, 6.7, 12.9),
    ],
)
def test_sweeps_in_forwards_of_a_prompt_of_75_tokens(name, ablation, to_logits, to_queries):
    shape = KNOWN[name]
    one = forward_flops(shape, 75)
    assert ablation_flops(shape, 75) / one == pytest.approx(ablation, rel=0.01)
    assert patching_flops(shape, 75, "logits") / one == pytest.approx(to_logits, rel=0.02)
    assert patching_flops(shape, 75, "q") / one == pytest.approx(to_queries, rel=0.02)
