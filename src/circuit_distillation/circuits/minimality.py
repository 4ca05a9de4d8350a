"""Pruning a circuit to the heads that matter (minimality of Prakash et al. 2024, after Wang et al. 2022).

Removing a head may change nothing only because other heads do the same work. So head v is judged without
these heads: K is the 30 % of its group whose joint removal with v hurts most. v stays if F(C without K)
exceeds F(C without K and v) by at least the threshold, relative to F. F is any measure of a circuit, such as
accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

from circuit_distillation.heads import Head

Groups = Mapping[str, Sequence[Head]]


SHARE = 0.3  # of a group, rounded up: K of each of its heads


def significance(without_others: float, without_both: float) -> float:
    """F(C without K) / F(C without K and v) - 1; infinite if only v's removal leaves nothing, 0 if nothing
    was left."""
    if without_both == 0:
        return math.inf if without_others > 0 else 0.0
    return without_others / without_both - 1


def significant_heads(measured: Mapping[Head, tuple[float, float]], threshold: float) -> list[Head]:
    """Heads whose significance is at least `threshold`, in order; each has (F without K, F without both)."""
    return [head for head, values in measured.items() if significance(*values) >= threshold]


def prune(
    groups: Groups,
    measure: Callable[[list[dict[str, list[Head]]]], Sequence[float]],
    *,
    threshold: float = 0.01,
    order: Sequence[str] | None = None,
) -> dict[str, list[Head]]:
    """The heads of each group that matter. Groups are pruned in turn, in `order` (default: as given).

    measure takes a list of circuits, each a dict of the groups' heads, and returns F of each. A group of n
    heads costs n (n + 1) / 2 + 2 n circuits, measured in two calls.
    """
    kept = {name: list(dict.fromkeys(heads)) for name, heads in groups.items()}
    unknown = set(order or ()) - set(kept)
    if unknown:
        raise ValueError(f"order names unknown groups {sorted(unknown)}; the groups are {', '.join(kept)}")
    for name in order or kept:
        kept[name] = significant_heads(_judge(kept, name, measure), threshold)
    return kept


def _judge(groups: dict[str, list[Head]], name: str, measure: Callable) -> dict[Head, tuple[float, float]]:
    heads = groups[name]

    def without(removed: set[Head]) -> dict[str, list[Head]]:
        return groups | {name: [head for head in heads if head not in removed]}

    pairs = [{head} for head in heads] + [set(pair) for pair in combinations(heads, 2)]
    drops = dict(zip(map(frozenset, pairs), measure([without(pair) for pair in pairs]), strict=True))
    stand_ins = {head: _stand_ins(head, heads, drops) for head in heads}
    circuits = [without(stand_ins[head] | extra) for head in heads for extra in (set(), {head})]
    values = [float(value) for value in measure(circuits)]
    return {head: (values[2 * index], values[2 * index + 1]) for index, head in enumerate(heads)}


def _stand_ins(head: Head, heads: list[Head], measured: Mapping[frozenset, float]) -> set[Head]:
    """K of a head: those others whose removal with it costs most beyond their own removal."""
    joint = {
        other: float(measured[frozenset({other})]) - float(measured[frozenset({other, head})])
        for other in heads
        if other != head
    }
    ranked = sorted(joint, key=lambda other: joint[other], reverse=True)[: math.ceil(SHARE * len(heads))]
    return {other for other in ranked if joint[other] > 0}
