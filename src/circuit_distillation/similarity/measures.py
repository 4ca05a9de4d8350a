"""The similarities that an alignment loss can have, one entry each; importing this module imports no torch.

To add one, write a function and an entry: the parameters, the pages and the loss read this table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from circuit_distillation.similarity import Estimator

if TYPE_CHECKING:
    from torch import Tensor

OfPairs = Callable[["Tensor", "Tensor", Estimator], "tuple[Tensor, Tensor]"]


@dataclass(frozen=True)
class Measure:
    """A similarity of activations.

    of_pairs: x [pair, m, p1], y [pair, m, p2] and the estimator of HSIC, which a similarity without HSIC
    ignores -> values [pair], 1 if the sides are equal apart from what the similarity ignores, and which pairs
    are degenerate [pair] (no variance on a side: value 0, no gradient). Too few rows for any pair:
    `cka.DegenerateSampleError`. floor: its expected value for independent activations from m, p1, p2 and the
    estimator, None where none is known. distributions: whether rows must be distributions; x is the student.
    """

    label: str
    of_pairs: OfPairs
    floor: Callable[[int, int, int, Estimator], float] | None = None
    distributions: bool = False


def _cka(x: Tensor, y: Tensor, estimator: Estimator) -> tuple[Tensor, Tensor]:
    from circuit_distillation.similarity.cka import paired_linear_cka

    return paired_linear_cka(x, y, estimator)


def _cka_floor(m: int, p1: int, p2: int, estimator: Estimator) -> float:
    from circuit_distillation.similarity.cka import noise_floor

    return noise_floor(m, p1, p2, estimator)


def _procrustes(x: Tensor, y: Tensor, _: Estimator) -> tuple[Tensor, Tensor]:
    from circuit_distillation.similarity.procrustes import paired_procrustes

    return paired_procrustes(x, y)


def _kl(x: Tensor, y: Tensor, _: Estimator) -> tuple[Tensor, Tensor]:
    from circuit_distillation.similarity.divergence import paired_kl

    return paired_kl(x, y)


MEASURES = {
    "cka": Measure("CKA", _cka, _cka_floor),  # eq. 2
    "procrustes": Measure("Procrustes similarity", _procrustes),
    "kl": Measure("1 - KL to the teacher", _kl, distributions=True),
}
