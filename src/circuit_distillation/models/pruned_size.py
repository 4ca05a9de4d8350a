"""How large a pruned model is."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from circuit_distillation.ranges import Count, CountOrZero, Strict


class PrunedSize(Strict):
    """What stays of a larger model; None: all of it.

    `layers` lists layers, or is the number of those that change the residual stream most. `hidden_size` is
    the width of the residual stream. `kv_heads` is the number of key/value heads of each layer, which keep
    their query heads.
    """

    layers: Count | Annotated[tuple[CountOrZero, ...], Field(min_length=1)] | None = None
    hidden_size: Count | None = None
    kv_heads: Count | None = None
