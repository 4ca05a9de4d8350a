"""What a head is for: the stages of the search that found it, or, where there are none, what it looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from circuit_distillation.heads import Head

Roles = Mapping[Head, frozenset[str]]


def roles_of(circuit: Mapping[str, Any]) -> Roles:
    """Head -> the stages that found it, of a stored circuit.

    Empty for a circuit that was found in one stage, as by mean ablation: such a stage tells no heads apart.
    """
    stages = circuit.get("stages", {})
    if len(stages) < 2:
        return {}
    found = {(layer, head) for heads in stages.values() for layer, head in heads}
    return {
        head: frozenset(stage for stage, heads in stages.items() if list(head) in map(list, heads))
        for head in sorted(found)
    }


def other_roles(
    head: Head, circuit: Sequence[Head], roles: Roles, distances: Mapping[Head, float]
) -> list[Head]:
    """The heads of a circuit whose function is another than that of `head`, in ascending order.

    Those that share no stage with it. Where stages tell no such heads, the half of the circuit that is
    farthest from it in attention profile; `distances` holds how far each is. Never `head` itself.
    """
    own = roles.get(head, frozenset())
    differing = [other for other in circuit if own and other in roles and not own & roles[other]]
    if differing:
        return sorted(differing)
    others = sorted(
        (other for other in circuit if other != head), key=lambda other: (-distances[other], other)
    )
    return sorted(others[: max(1, len(circuit) // 2)])
