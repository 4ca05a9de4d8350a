"""Stored ablation effects and head outputs of one model, as arrays over the mapping split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from circuit_distillation.heads import Head
from circuit_distillation.mapping.impact import FIELDS, per_example


@dataclass(frozen=True)
class Effects:
    """What ablating each head does to each example, by column: log_prob, correct, logit_diff as recorded."""

    ablated: dict[str, NDArray]  # column -> [layer, head, example]
    base: dict[str, NDArray]  # column -> [example], without ablation
    examples: tuple[str, ...]  # example ids, sorted
    groups: NDArray  # [example], the scene or story of each

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Effects:
        """Read what `circuits.effects.ablation_frames` gives: one row a head and example, layer -1 for the
        unablated model.

        ValueError unless every head has one row for every example.
        """
        ordered = frame.sort_values(["layer", "head", "example_id"], kind="stable")
        base, heads = ordered[ordered["layer"] < 0], ordered[ordered["layer"] >= 0]
        shape = (heads["layer"].max() + 1, heads["head"].max() + 1, len(base))
        doubled = ordered.duplicated(["layer", "head", "example_id"]).any()
        if len(base) == 0 or doubled or len(heads) != np.prod(shape):
            raise ValueError(
                f"ablation effects have {len(heads)} rows with a head ablated and {len(base)} without, not "
                "one for each head and example: make them again"
            )
        recorded = [column for column in FIELDS.values() if column in frame.columns]
        return cls(
            {column: heads[column].to_numpy(float).reshape(shape) for column in recorded},
            {column: base[column].to_numpy(float) for column in recorded},
            tuple(base["example_id"]),
            base["group_id"].to_numpy(),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Layers and heads a layer."""
        n_layers, n_heads, _ = next(iter(self.ablated.values())).shape
        return n_layers, n_heads

    def every_head(self) -> list[Head]:
        """(layer, head) of all heads."""
        n_layers, n_heads = self.shape
        return [(layer, head) for layer in range(n_layers) for head in range(n_heads)]

    def at(self, heads: Sequence[Head], measure: str) -> NDArray:
        """P per example with each of `heads` ablated, [n, example]. ValueError for a head the model lacks."""
        missing = sorted(set(heads) - set(self.every_head()))
        if missing:
            raise ValueError(f"head {missing[0]} lies outside {self.shape}: is the circuit of another model?")
        layers, indices = zip(*heads, strict=True)
        return per_example(self.ablated, measure)[list(layers), list(indices)]


def features_from_frame(frame: pd.DataFrame) -> dict[Head, NDArray]:
    """Stored head outputs (layer, head, example_id, z) as [example, d_head] a head, examples sorted by id."""
    ordered = frame.sort_values(["layer", "head", "example_id"], kind="stable")
    return {head: np.stack(rows["z"].tolist()) for head, rows in ordered.groupby(["layer", "head"])}
