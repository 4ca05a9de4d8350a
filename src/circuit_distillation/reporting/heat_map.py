"""A heat map of head scores that are still in memory."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd
from torch import Tensor

from circuit_distillation.heads import Head
from circuit_distillation.reporting.head_figures import score_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def heat_map(effects: Tensor, circuit: Iterable[Head] = ()) -> Figure:
    """A cell a head, layer 0 at the top, coloured by its mean effect; the heads of `circuit` are outlined.

    effects are [layer, head, example] of any scoring function, such as `score_heads`, or [layer, head].
    """
    if effects.ndim not in (2, 3):
        raise ValueError(
            f"effects must be [layer, head, example] or [layer, head], not {list(effects.shape)}"
        )
    values = effects.detach().double().cpu()
    values = values[..., None] if values.ndim == 2 else values
    n_layers, n_heads, n = values.shape
    stderr = values.std(dim=-1) / math.sqrt(n) if n > 1 else values[..., 0] * math.nan
    index = pd.MultiIndex.from_product([range(n_layers), range(n_heads)], names=["layer", "head"])
    columns = {"score": values.mean(dim=-1).flatten().numpy(), "stderr": stderr.flatten().numpy()}
    scores = pd.DataFrame(columns, index=index).reset_index()
    return score_figure(scores, {(layer, head): "in the circuit" for layer, head in circuit})
