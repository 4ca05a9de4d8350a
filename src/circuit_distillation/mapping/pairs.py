"""Random control pairs for "CE + Rand CKA": the same student heads, other teacher heads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from circuit_distillation.heads import Head, Pair
from circuit_distillation.mapping.match import draw_heads


def random_pairs(aligned: Sequence[Pair], pool: Sequence[Head], seed: int) -> list[Pair]:
    """A teacher head drawn from `pool` for the student head of every aligned pair (section 4.1 of the paper).

    `pool` is the identified teacher circuit (as in the paper) or every head of the teacher. Heads are drawn
    without repetition as long as the pool lasts. No student head keeps its aligned teacher head, unless the
    pool offers nothing else: a draw that hits it swaps with another pair, or, where no swap helps, takes
    another head of the pool (which may then appear twice). Only a pool that consists of that one head
    leaves the aligned pair in place.
    """
    if not aligned:
        raise ValueError("there are no aligned pairs to draw control pairs for")
    heads = sorted({(int(layer), int(head)) for layer, head in pool})
    aligned = [((s[0], s[1]), (t[0], t[1])) for s, t in aligned]
    if not heads:
        raise ValueError("there are no teacher heads to draw control pairs from")
    rng = np.random.default_rng(seed)
    drawn = [heads[j] for j in draw_heads(len(aligned), len(heads), rng)]
    for i, (_, own) in enumerate(aligned):
        if drawn[i] == own:
            _replace(drawn, i, aligned, heads, rng)
    return [(student, teacher) for (student, _), teacher in zip(aligned, drawn, strict=True)]


def pairs_from_pools(students: Sequence[Head], pools: Sequence[Sequence[Head]], seed: int) -> list[Pair]:
    """A teacher head for each student head, drawn from a pool of its own.

    Of a pool the heads that were drawn least often so far are equally likely. A student head with an empty
    pool has no pair.
    """
    rng = np.random.default_rng(seed)
    drawn: list[Pair] = []
    used: Counter[Head] = Counter()
    for student, pool in zip(students, pools, strict=True):
        if pool:
            least = min(used[head] for head in pool)
            rarest = [head for head in sorted(pool) if used[head] == least]
            teacher = rarest[int(rng.integers(len(rarest)))]
            used[teacher] += 1
            drawn.append((student, teacher))
    return drawn


def _replace(
    drawn: list[Head], i: int, aligned: Sequence[Pair], heads: Sequence[Head], rng: np.random.Generator
) -> None:
    """Make pair `i` differ from its aligned pair: an unused head, a swap, any other head, in this order."""
    own = aligned[i][1]
    unused = [head for head in heads if head not in drawn]
    if unused:
        drawn[i] = unused[int(rng.integers(len(unused)))]
        return
    partners = [k for k in range(len(drawn)) if drawn[k] != own and aligned[k][1] != own]
    if partners:
        k = partners[int(rng.integers(len(partners)))]
        drawn[i], drawn[k] = drawn[k], drawn[i]
        return
    others = [head for head in heads if head != own]
    if others:
        drawn[i] = others[int(rng.integers(len(others)))]
