"""Results on one thread and on two: equal to rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from naive.tiny_models import tiny_model
from training.distillation_case import HEADS, PAIRS, case, settings, student

from circuit_distillation.circuits.mean_ablation import head_effects, head_means
from circuit_distillation.training.distill import distill

TOLERANCE = 1e-4  # relative, float32


def on_threads(n: int, work: Callable[[], Any]) -> Any:
    torch.set_num_threads(n)
    try:
        return work()
    finally:
        torch.set_num_threads(1)


def trained() -> list[float]:
    data, model = case(), student()
    history = distill(
        model, data.train, data.validation, data.signals, heads=HEADS,
        pairs=PAIRS, settings=settings("circuit_ce_align_cka", epochs=2), progress_bar=False,
    )  # fmt: skip
    return [*history["loss"], *history["similarity"]]


def ablated() -> list[float]:
    ids = torch.randint(0, 20, (64, 24), generator=torch.Generator().manual_seed(0))
    model = tiny_model(n_layers=2).float()
    return head_effects(model, ids, ids[:, 0], head_means(model, ids)).log_prob.flatten().tolist()


@pytest.mark.parametrize("work", [trained, ablated])
def test_the_number_of_threads_changes_rounding_alone(work) -> None:
    one = on_threads(1, work)
    assert one == on_threads(1, work)  # bit for bit
    assert on_threads(2, work) == pytest.approx(one, rel=TOLERANCE)
