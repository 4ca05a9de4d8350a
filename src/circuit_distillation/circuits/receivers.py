"""The heads at the end of a path, and which of their inputs is patched."""

from __future__ import annotations

from dataclasses import dataclass

from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import Architecture


@dataclass(frozen=True)
class Receivers:
    """Heads that are patched at once, by layer, in one input ("q", "k" or "v")."""

    heads: dict[int, list[int]]
    which: str
    kv_scope: str

    @property
    def layers(self) -> list[int]:
        return sorted(self.heads)

    def slots(self, layer: int, group_size: int) -> tuple[list[int], list[int]]:
        """(rows to take from the projection's heads, heads to overwrite): kv heads are repeated under
        per_query_head."""
        heads = self.heads[layer]
        if self.which == "q":
            return heads, heads
        groups = [head // group_size for head in heads]
        if self.kv_scope == "per_query_head":
            return groups, heads
        return sorted(set(groups)), sorted(set(groups))


def check_receivers(
    arch: Architecture, heads: list[Head] | None, which: str | None, kv_scope: str
) -> Receivers | None:
    """Receivers by layer, or None for the logits; ValueError if the arguments contradict each other."""
    if kv_scope not in ("per_query_head", "group"):
        raise ValueError(f"kv_scope must be per_query_head or group, not {kv_scope!r}")
    if heads is None:
        if which is not None:
            raise ValueError("receiver_input needs receivers: give both or neither")
        return None
    if which not in ("q", "k", "v"):
        raise ValueError(f"receiver_input must be q, k or v, not {which!r}")
    if not heads:
        raise ValueError("receivers is empty: give at least one head, or None for the logits")
    by_layer: dict[int, list[int]] = {}
    for layer, head in sorted(set(heads)):
        if not (0 <= layer < arch.n_layers and 0 <= head < arch.n_heads):
            raise ValueError(
                f"receiver {(layer, head)} is outside {arch.n_layers} layers x {arch.n_heads} heads"
            )
        by_layer.setdefault(layer, []).append(head)
    return Receivers(by_layer, which, kv_scope)
