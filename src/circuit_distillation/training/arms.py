"""The arms of the study as data: which weights train, on which losses, against which teacher activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from circuit_distillation.heads import Head, Pair
from circuit_distillation.models.architecture import Architecture
from circuit_distillation.training.features import Site


@dataclass(frozen=True)
class Arm:
    """One way to train a student.

    trained: all weights, the circuit heads, or as many heads drawn at random outside the circuit.
    uses_ce: whether the labels are in the loss. soft_labels: the teacher's distribution (KL) whatever the
    settings. pairs: no alignment, the mapped pairs, or the random control pairs. align: activations of heads,
    or the residual streams of the layers that hold them.
    """

    trained: Literal["all", "heads", "random_heads"]
    uses_ce: bool
    pairs: Literal["none", "mapped", "random"] = "none"
    align: Literal["heads", "layers"] = "heads"
    soft_labels: bool = False


ARMS: dict[str, Arm] = {
    "full_ce": Arm("all", uses_ce=True),
    "circuit_ce": Arm("heads", uses_ce=True),
    "circuit_align_cka": Arm("heads", uses_ce=False, pairs="mapped"),
    "circuit_ce_rand_cka": Arm("heads", uses_ce=True, pairs="random"),
    "circuit_ce_align_cka": Arm("heads", uses_ce=True, pairs="mapped"),
    # Beyond the paper.
    "full_kl": Arm("all", uses_ce=True, soft_labels=True),
    "layer_cka": Arm("heads", uses_ce=True, pairs="mapped", align="layers"),
    "random_heads_ce_align_cka": Arm("random_heads", uses_ce=True, pairs="mapped"),
}


def get_arm(name: str) -> Arm:
    """The arm of that name; ValueError lists those there are."""
    if name not in ARMS:
        raise ValueError(f"unknown arm {name!r}: use one of {', '.join(ARMS)}")
    return ARMS[name]


def trained_heads(arm: Arm, heads: Sequence[Head], shape: Architecture, seed: int) -> list[Head] | None:
    """The heads whose weights train; None where all weights do."""
    if arm.trained == "all":
        return None
    if arm.trained == "heads":
        return list(heads)
    return list(_substitutes(heads, shape, seed).values())


def compared_sites(
    arm: Arm, heads: Sequence[Head], pairs: Sequence[Pair], shape: Architecture, seed: int
) -> list[tuple[Site, Site]]:
    """(student site, teacher site) of every alignment term.

    With random trained heads each takes the place of one circuit head and inherits its teacher head, so that
    the number of pairs and the teacher's side stay the same. For layers, each distinct pair of layers counts
    once.
    """
    if arm.pairs == "none":
        return []
    if not pairs:
        raise ValueError("this arm aligns heads, but there are no pairs: run the head mapping first")
    if arm.align == "layers":
        return [((s, None), (t, None)) for s, t in dict.fromkeys((s[0], t[0]) for s, t in pairs)]
    if arm.trained == "random_heads":
        stand_in = _substitutes(heads, shape, seed)
        return [(stand_in[student], teacher) for student, teacher in pairs]
    return list(pairs)


def _substitutes(heads: Sequence[Head], shape: Architecture, seed: int) -> dict[Head, Head]:
    """circuit head -> a head drawn outside the circuit, without repetition."""
    others = [(layer, head) for layer in range(shape.n_layers) for head in range(shape.n_heads)]
    others = [head for head in others if head not in set(heads)]
    if len(others) < len(heads):
        raise ValueError(
            f"{len(heads)} random heads cannot be drawn from the {len(others)} outside the circuit"
        )
    drawn = np.random.default_rng(seed).choice(len(others), size=len(heads), replace=False)
    return dict(zip(heads, (others[i] for i in drawn), strict=True))
