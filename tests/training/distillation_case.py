"""A tiny student, a tiny teacher and splits of random prompts, for the tests of the distillation engine."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from naive.tiny_models import tiny_model

from circuit_distillation.arms import ARMS
from circuit_distillation.models.encoding import Encoded
from circuit_distillation.training.arm_settings import arm_settings
from circuit_distillation.training.distillation_settings import DistillationSettings
from circuit_distillation.training.teacher_cache import TeacherSignals, teacher_signals

HEADS = [(1, 0), (1, 3), (2, 1)]
PAIRS = [((1, 0), (3, 1)), ((1, 3), (3, 4)), ((2, 1), (0, 0))]  # the first two share their layers
RANDOM_PAIRS = [((1, 0), (2, 2)), ((1, 3), (0, 1)), ((2, 1), (1, 5))]
SITES = sorted({teacher for _, teacher in PAIRS + RANDOM_PAIRS}) + [(0, None), (3, None)]


@dataclass
class Case:
    train: Encoded
    validation: Encoded
    signals: TeacherSignals


def prompts(n: int, seed: int, length: int = 7) -> Encoded:
    """Random prompts, right padded: lengths from length - 2 to length."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 40, (n, length), generator=generator)
    lengths = torch.randint(length - 2, length + 1, (n,), generator=generator)
    lengths[0] = length
    mask = (torch.arange(length) < lengths[:, None]).long()
    answers = torch.randint(1, 40, (n,), generator=generator)
    return Encoded(ids * mask, mask, {"box": lengths - 3, "last": lengths - 1}, answers, answers[:, None])


def student(seed: int = 0, **options):
    return tiny_model(seed=seed, **options)


def teacher():
    return tiny_model(seed=7, n_layers=4, n_heads=6, n_kv_heads=3)


def case(n: int = 24, rows: str = "last", observable: str = "z") -> Case:
    train, validation = prompts(n, seed=1), prompts(10, seed=2)
    read = {"rows": rows, "observable": observable}
    return Case(
        train,
        validation,
        teacher_signals(teacher(), train, SITES, keep_logits=True, batch_size=10, **read),
    )


def case_of(arm: str, **options) -> Case:
    """With what an arm compares."""
    alignment = settings(arm, **options).alignment
    return case(rows=alignment.rows, observable=alignment.observable) if alignment else case()


def acting(encoded: Encoded) -> dict[tuple[int, int], torch.Tensor]:
    """Each head of the student acts at the last token and, by its index, at one or two others."""
    n, length = encoded.input_ids.shape
    masks = {}
    for layer in range(3):
        for head in range(4):
            masks[layer, head] = torch.zeros(n, length, dtype=torch.bool)
            masks[layer, head][torch.arange(n), encoded.positions["last"]] = True
            masks[layer, head][:, : 1 + head % 2] = True
    return masks


def settings(arm: str, seed: int = 0, **options) -> DistillationSettings:
    """Of an arm, with options named as in the parameters."""
    chosen = dict(epochs=2, batch_size=8, evaluate_every=2, warmup_steps=1, checkpoint_every=2)
    rates = dict(learning_rate_heads=1e-2, learning_rate_full=3e-4)
    return arm_settings(ARMS[arm], chosen | rates | dict(ARMS[arm].own) | options, seed)
