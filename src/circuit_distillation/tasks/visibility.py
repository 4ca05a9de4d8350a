"""Who observes whom in a belief story: the templates, and the mixes of templates by name."""

from __future__ import annotations

from typing import NamedTuple


class Observation(NamedTuple):
    """One sentence: character `observer` can or cannot observe character `observed` (0, 1; decoys 2, 3)."""

    observer: int
    can: bool
    observed: int

    @property
    def verb(self) -> str:
        return "can" if self.can else "cannot"


def opposite(seen: Observation) -> Observation:
    """The same sentence with can and cannot exchanged."""
    return seen._replace(can=not seen.can)


def flipped(observations: tuple[Observation, ...], index: int) -> tuple[Observation, ...]:
    """`observations` with the sentence at `index` turned into its opposite."""
    return tuple(opposite(seen) if k == index else seen for k, seen in enumerate(observations))


# The later character's sentence comes first, as in CausalToM; "_swapped" has the two in the other order.
_ORDERED: dict[str, tuple[Observation, ...]] = {
    "neither_sees": (Observation(1, False, 0), Observation(0, False, 1)),
    "first_sees_second": (Observation(1, False, 0), Observation(0, True, 1)),
    "second_sees_first": (Observation(1, True, 0), Observation(0, False, 1)),
    "both_see": (Observation(1, True, 0), Observation(0, True, 1)),
    "decoy": (Observation(1, False, 0), Observation(2, True, 3)),
    "decoy_seen": (Observation(0, True, 1), Observation(2, False, 3)),
}
_SWAPPED = {f"{name}_swapped": pair[::-1] for name, pair in _ORDERED.items()}

TEMPLATES: dict[str, tuple[Observation, ...]] = {"no_visibility": (), **_ORDERED, **_SWAPPED}

_PLAIN = ("neither_sees", "first_sees_second")
_EXPLICIT = (*_PLAIN, "second_sees_first", "both_see")
_ONE_SEES = ("first_sees_second", "second_sees_first")


def _both_orders(names: tuple[str, ...]) -> tuple[str, ...]:
    return (*names, *(f"{name}_swapped" for name in names))


# All mixes but "no_visibility" and "all" have one token layout.
MIXES: dict[str, tuple[str, ...]] = {
    "no_visibility": ("no_visibility",),
    "plain": _PLAIN,  # the second character never sees, fixed order: position gives the answer away
    "mirrored": _both_orders(_ONE_SEES),  # seen and unseen equally often, nothing given away by position
    "explicit": _both_orders(_EXPLICIT),
    "decoy": _both_orders(("decoy", "decoy_seen")),
    "all": tuple(TEMPLATES),
}
