from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from circuit_distillation.circuits.minimality import prune, significance, significant_heads

DATA = Path(__file__).parents[1] / "data" / "minimality"
PUBLISHED = {
    "value_fetcher": ("value_fetcher_15", 40),
    "pos_transmitter": ("pos_transmitter_3", 7),
    "pos_detector": ("pos_detector_8", 20),
    "struct_reader": ("struct_reader_2", 5),
}


@pytest.mark.parametrize("group", PUBLISHED)
def test_published_accuracies_give_the_published_circuit(group: str) -> None:
    name, n_heads = PUBLISHED[group]
    table = json.loads((DATA / f"nix07_llama_{name}_significance.json").read_text())
    measured = {
        tuple(map(int, re.findall(r"\d+", key)[:1] + re.findall(r"\d+", key)[-1:])): tuple(values)
        for key, values in table.items()
    }
    circuit = json.loads((DATA / "nix07_llama_circuit.json").read_text())
    kept = significant_heads(measured, 0.01)
    assert len(kept) == n_heads
    assert kept == [tuple(head) for head in circuit[group]]


def test_significance_is_relative_and_survives_zero_accuracy() -> None:
    assert significance(0.66, 0.6) == pytest.approx(0.1)
    assert significance(0.5, 0.0) == math.inf
    assert significance(0.0, 0.0) == 0.0


def test_a_useless_head_goes_and_a_head_with_a_stand_in_stays() -> None:
    """(0, 0) and (0, 1) do the same thing, (1, 0) is needed, (1, 1) does nothing."""

    def measure(circuits: list[dict]) -> list[float]:
        def one(circuit: dict) -> float:
            heads = set(circuit["a"]) | set(circuit["b"])
            copied = bool(heads & {(0, 0), (0, 1)})
            return 0.1 + 0.4 * copied + 0.4 * (copied and (1, 0) in heads)

        return [one(circuit) for circuit in circuits]

    kept = prune({"a": [(0, 0), (0, 1), (1, 1)], "b": [(1, 0)]}, measure, order=["b", "a"])
    assert kept == {"a": [(0, 0), (0, 1)], "b": [(1, 0)]}


def test_later_groups_are_judged_within_the_pruned_circuit() -> None:
    seen = []

    def measure(circuits: list[dict]) -> list[float]:
        seen.extend(circuits)
        return [1.0] * len(circuits)

    kept = prune({"a": [(0, 0)], "b": [(1, 0), (1, 1)]}, measure)
    assert kept == {"a": [], "b": []}
    assert all(circuit["a"] == [] for circuit in seen if len(circuit["b"]) < 2)


def test_unknown_groups_in_the_order_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown groups"):
        prune({"a": [(0, 0)]}, lambda circuits: [0.0] * len(circuits), order=["c"])
