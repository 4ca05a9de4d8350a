"""Control pairs: the same student heads with other heads of the teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from circuit_distillation.heads import Head, Pair
from circuit_distillation.mapping.attention import Profiles, check_layouts, head_profiles, js_distances
from circuit_distillation.mapping.effects import Effects
from circuit_distillation.mapping.match import match_heads
from circuit_distillation.mapping.pairs import pairs_from_pools, random_pairs
from circuit_distillation.mapping.relevant_heads import discovered
from circuit_distillation.mapping.roles import other_roles, roles_of
from circuit_distillation.mapping.settings import MappingSettings
from circuit_distillation.mapping.sides import Record, sides_of

EQUATION_5 = "nearest"  # control pairs avoid the pairs of this rule, whatever rule the mapping has


def draw_controls(
    student: Effects,
    teacher: Effects,
    heads: Record,
    teacher_circuit: Record,
    settings: MappingSettings,
    *,
    profiles: tuple[Profiles, Profiles] | None = None,
) -> dict[str, Any]:
    """Control pairs that differ from the pairs of equation 5, whatever `settings.rule` is.

    With `random_from: other_role` they also differ in function: the function of a student head is that of the
    circuit head whose attention profile is nearest; a head without another role in the circuit has no pair.
    """
    by_impact = settings.model_copy(update={"rule": EQUATION_5})
    sides = sides_of(student, teacher, heads, teacher_circuit, by_impact)
    pairs = match_heads(*sides.impacts(settings.student_form), EQUATION_5)
    aligned = [(sides.student_heads[i], sides.teacher_heads[j]) for i, j in pairs]
    if settings.random_from == "other_role":
        drawn = _other_than_nearest(aligned, teacher_circuit, profiles, settings.seed)
    else:
        pool = sides.teacher_heads if settings.random_from == "circuit" else teacher.every_head()
        drawn = random_pairs(aligned, pool, settings.seed)
    hashes = {"student": heads["model_hash"], "teacher": teacher_circuit["model_hash"]}
    return _record(heads["role"], drawn, hashes)


def draw_other_roles(
    mapping: Record, teacher_circuit: Record, profiles: Profiles, seed: int
) -> dict[str, Any]:
    """For each pair of a mapping its student head with a circuit head whose function is not its partner's.

    `roles.other_roles` says which heads these are; `profiles` are the teacher's. A pair whose teacher head is
    the only one of the circuit is left out.
    """
    pairs = [_as_pair(pair) for pair in mapping["pairs"]]
    pools = _pools([head for _, head in pairs], teacher_circuit, profiles)
    drawn = pairs_from_pools([head for head, _ in pairs], pools, seed)
    return _record(mapping["role"], drawn, mapping["hashes"])


def _other_than_nearest(
    aligned: Sequence[Pair], circuit: Record, profiles: tuple[Profiles, Profiles] | None, seed: int
) -> list[Pair]:
    if profiles is None:
        raise ValueError("random_from 'other_role' needs attention profiles of both models")
    check_layouts(*profiles)
    heads, students = discovered(circuit), [head for head, _ in aligned]
    distances = js_distances(head_profiles(profiles[0], students), head_profiles(profiles[1], heads))
    pools = _pools([heads[j] for j in distances.argmin(axis=1)], circuit, profiles[1])
    # The pair of equation 5 may be of another function too; it is drawn only where there is no other.
    avoiding = [[head for head in pool if head != own] or pool for pool, (_, own) in zip(pools, aligned)]
    return pairs_from_pools(students, avoiding, seed)


def _pools(heads: Sequence[Head], circuit: Record, profiles: Profiles) -> list[list[Head]]:
    """For each teacher head the circuit heads of another function."""
    members, roles = discovered(circuit), roles_of(circuit)
    if not heads:
        return []
    distances = js_distances(head_profiles(profiles, heads), head_profiles(profiles, members))
    return [
        other_roles(head, members, roles, dict(zip(members, map(float, row), strict=True)))
        for head, row in zip(heads, distances, strict=True)
    ]


def _record(role: str, pairs: Sequence[Pair], hashes: Mapping[str, str]) -> dict[str, Any]:
    return {
        "role": role,
        "pairs": [{"student": list(own), "teacher": list(other)} for own, other in pairs],
        "hashes": dict(hashes),
    }


def _as_pair(pair: Mapping[str, Sequence[int]]) -> Pair:
    (a, b), (c, d) = pair["student"], pair["teacher"]
    return (a, b), (c, d)
