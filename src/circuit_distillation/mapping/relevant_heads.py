"""H_s, the relevant student heads: those with the largest ablation impact, or a discovered circuit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from circuit_distillation.heads import Head
from circuit_distillation.mapping.impact import as_finite


def top_impact(impact: ArrayLike, fraction: float) -> list[Head]:
    """The ceil(fraction x heads) heads of largest impact, as (layer, head) in ascending order.

    `impact` is [layer, head], larger is more harm when ablated. The lower layer, then the lower head, wins
    a tie. The paper trains 0.11 (entity tracking) and 0.15 (theory of mind) of the student's heads.
    """
    values = as_finite(impact, "impact")
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"impact must be [layer, head], got shape {values.shape}")
    if not 0 < fraction <= 1:
        raise ValueError(f"the fraction of relevant heads must lie in (0, 1], got {fraction}")
    # Rounded first: 0.07 x 100 is 7.000000000000001 in floating point and must give 7 heads, not 8.
    count = math.ceil(round(fraction * values.size, 9))
    order = np.argsort(-values, axis=None, kind="stable")[:count]
    return sorted((int(flat) // values.shape[1], int(flat) % values.shape[1]) for flat in order)


def discovered(circuit: Mapping[str, Any]) -> list[Head]:
    """The heads of a stored circuit (its JSON form), as (layer, head) in ascending order."""
    heads = sorted({(int(layer), int(head)) for layer, head in circuit["heads"]})
    if not heads:
        raise ValueError("the discovered circuit has no heads; lower its threshold or use top_impact")
    return heads
