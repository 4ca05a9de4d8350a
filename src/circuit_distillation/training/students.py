"""Students of the mini family made as Llama 3.2 was: pruned from the large base, then healed to a mark.

Healing is cross-entropy on the answers and on the large base's distribution over the vocabulary, on the
prompts that the large base was trained on last, with the recipe's own lasso and validation prompts. It stops
at the student's mark, so that a student stays at partial ability.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from circuit_distillation.heads import Head
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.models.pruning_choice import Prompts, prune
from circuit_distillation.training.packing import PackedBatch, Target, block_mask, residual_streams, target_logits
from circuit_distillation.training.pretraining import Sampler
from circuit_distillation.training.recipe import Phase, Recipe, run_phases
from circuit_distillation.training.student_settings import Healing, PrunedStudent

CALIBRATION_BATCHES = 4


def pruned_student(
    large: Checkpoint, recipe: Recipe, role: str, seed: int, settings: PrunedStudent, healing: Healing
) -> tuple[Checkpoint, dict[Head, Head], dict[str, Any]]:
    """A pruned and healed base model, the large head that each of its heads was, and the record.

    ``recipe`` and ``seed`` are those that the large base was trained with. RuntimeError if the mark is not
    reached within the steps.
    """
    started = time.perf_counter()
    last = [phase for phase in recipe.pretraining(large.tokenizer, "large", seed) if phase.stop][-1]
    rng = np.random.default_rng([seed, CALIBRATION_BATCHES])
    prompts = [_prompts(batch) for _ in range(CALIBRATION_BATCHES) for batch in last.sample(rng)]
    student, ancestors = prune(large, settings.size, prompts)
    stop = replace(last.stop, target=settings.target_accuracy, every=healing.every, first_step=0)
    pruned_accuracy, reached = stop.check(student.model)
    phases = [] if reached else [_healing(large, last, stop, healing, seed)]
    summaries = run_phases(student.model, phases, f"base {role}")
    record = {
        "role": role,
        "seconds": time.perf_counter() - started,
        "pruned_accuracy": pruned_accuracy,
        "phases": summaries,
    }
    return student, ancestors, record | recipe.accuracies(student.model, large.tokenizer, seed)


def _healing(large: Checkpoint, last: Phase, stop, healing: Healing, seed: int) -> Phase:
    settings = replace(
        last.settings,
        learning_rate=healing.learning_rate,
        max_steps=healing.max_steps,
        warmup_steps=healing.warmup_steps,
        seed=seed + 5,
    )
    return Phase("heal", distilled(last.sample, large.model), settings, stop)


def distilled(sample: Sampler, parent: torch.nn.Module) -> Sampler:
    """The batches of ``sample``: their answers, and with equal weight the parent's distribution there.

    Early exits are left out, since a pruned model has other layers.
    """

    def with_parent(rng: np.random.Generator) -> list[PackedBatch]:
        return [replace(batch, targets=_answers(batch, parent)) for batch in sample(rng)]

    return with_parent


@torch.no_grad()
def _answers(batch: PackedBatch, parent: torch.nn.Module) -> list[Target]:
    answers = [target for target in batch.targets if target.after_layer is None]
    streams = residual_streams(parent, replace(batch, targets=answers))
    soft = [
        replace(target, name=f"large.{target.name}", labels=target_logits(parent, streams, target).softmax(-1))
        for target in answers
    ]
    return [*answers, *soft]


def _prompts(batch: PackedBatch) -> Prompts:
    arguments = {
        "input_ids": batch.input_ids,
        "position_ids": batch.position_ids,
        "attention_mask": block_mask(batch.block),
    }
    return Prompts(arguments, batch.block >= 0)
