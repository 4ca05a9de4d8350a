"""Students of the mini family made as Llama 3.2 was: pruned from the large base, then healed to a mark.

A student is as wide as it may be while still below its mark, and healing takes it there: cross-entropy on the
answers and on the large base's distribution over the vocabulary, on the prompts that the large base saw last.
It stops at the mark, by the measure and on the validation prompts that stopped the large base, so that
students stay at partial ability.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.models.pruning_choice import Prompts, prune
from circuit_distillation.training.packing import (
    PackedBatch,
    Target,
    block_mask,
    residual_streams,
    target_logits,
)
from circuit_distillation.training.pretraining import Sampler, StopRule
from circuit_distillation.training.recipe import Phase, Recipe, run_phases
from circuit_distillation.training.student_settings import PrunedStudent

CALIBRATION_BATCHES = 4
Ancestors = dict[Head, Head]


def pruned_student(
    large: Checkpoint, recipe: Recipe, role: str, seed: int, settings: PrunedStudent
) -> tuple[Checkpoint, Ancestors, dict[str, Any]]:
    """A base model, the head of the large base that each of its heads was, and a record as of any base.

    ``recipe`` is that of the large base; ``seed``, of the student's own prompts and validation prompts, must
    differ from the large base's. RuntimeError if the mark is not reached within the steps.
    """
    started = time.perf_counter()
    phases_of_large = recipe.pretraining(large.tokenizer, "large", seed)
    last, stop = [(phase, phase.stop) for phase in phases_of_large if phase.stop is not None][-1]
    stop = replace(stop, target=settings.target_accuracy, every=settings.every, required=True)
    stop = replace(stop, first_step=settings.min_steps)
    student, ancestors, accuracy = _below_mark(large, last.sample, settings, stop, seed)
    phases = []
    if settings.min_steps or accuracy < settings.target_accuracy:
        phases = run_phases(student.model, [_healing(large, last, stop, settings, seed)], f"base {role}")
    record = {"role": role, "seconds": time.perf_counter() - started, "phases": phases}
    record |= {"pruned_accuracy": accuracy, "hidden_size": student.model.config.hidden_size}
    return student, ancestors, record | recipe.accuracies(student.model, large.tokenizer, seed)


def _below_mark(
    large: Checkpoint, sample: Sampler, settings: PrunedStudent, stop: StopRule, seed: int
) -> tuple[Checkpoint, Ancestors, float]:
    """The widest pruned model that is below the mark, up to the width of the settings, and its accuracy."""
    rng = np.random.default_rng(seed)
    prompts = [_prompts(batch) for _ in range(CALIBRATION_BATCHES) for batch in sample(rng)]
    config = large.model.config
    step = config.num_attention_heads  # the width must be a multiple of it
    for width in range(settings.hidden_size or config.hidden_size, 0, -step):
        student, ancestors = prune(large, settings.model_copy(update={"hidden_size": width}), prompts)
        accuracy, reached = stop.check(student.model)
        if not reached:
            break
    return student, ancestors, accuracy


def _healing(large: Checkpoint, last: Phase, stop: StopRule, s: PrunedStudent, seed: int) -> Phase:
    settings = replace(
        last.settings,
        learning_rate=s.learning_rate,
        max_steps=s.max_steps,
        lasso=s.lasso,
        log_lasso=s.log_lasso,
        warmup_steps=5,
        constant_steps=s.min_steps or None,
        seed=seed + 5,
    )
    return Phase("heal", with_parent(last.sample, large.model), settings, stop)


def with_parent(sample: Sampler, parent: CausalLM) -> Sampler:
    """The batches of ``sample``: their answers, and as much of the parent's distribution there.

    Early exits are left out, since a pruned model has other layers.
    """

    def sample_both(rng: np.random.Generator) -> list[PackedBatch]:
        return [replace(batch, targets=_both(batch, parent)) for batch in sample(rng)]

    return sample_both


@torch.no_grad()
def _both(batch: PackedBatch, parent: CausalLM) -> list[Target]:
    answers = [target for target in batch.targets if target.after_layer is None]
    streams = residual_streams(parent, replace(batch, targets=answers))
    soft = [target_logits(parent, streams, target).softmax(-1) for target in answers]
    return answers + [
        replace(target, name=f"large_{target.name}", labels=labels)
        for target, labels in zip(answers, soft, strict=True)
    ]


def _prompts(batch: PackedBatch) -> Prompts:
    arguments = {
        "input_ids": batch.input_ids,
        "position_ids": batch.position_ids,
        "attention_mask": block_mask(batch.block),
    }
    return Prompts(arguments, batch.block >= 0)
