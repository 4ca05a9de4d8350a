from __future__ import annotations

import pytest
import torch
from matplotlib.patches import Rectangle

from circuit_distillation.reporting.heat_map import heat_map


def test_a_cell_shows_the_mean_of_a_head_and_the_circuit_is_outlined() -> None:
    effects = torch.tensor([[[-1.0, -3.0], [0.0, 0.0]], [[2.0, 2.0], [0.5, 1.5]]])
    figure = heat_map(effects, [(1, 0)])
    boxes = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    tips = [patch.get_gid() for patch in boxes if patch.get_gid().startswith("tip:")]
    assert "score -2.000 ± 1.000, not in the circuit" in tips[0] and "in the circuit" in tips[2]
    assert sum(not patch.get_fill() for patch in boxes) == 1
    single = heat_map(effects[..., 0]).axes[0].patches
    assert "score -1.000, not" in single[0].get_gid() and len(single) == 4


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"effects must be \[layer, head, example\]"):
        heat_map(torch.zeros(3))
