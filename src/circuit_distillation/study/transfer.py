"""Was a mechanism transferred? What a trained student shares with its teacher, on prompts it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from circuit_distillation.models.architecture import architecture
from circuit_distillation.models.encoding import encode
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.similarity.cka import linear_cka
from circuit_distillation.tasks import get_task
from circuit_distillation.tasks.example import Example
from circuit_distillation.training.teacher_cache import TeacherSignals, teacher_signals

# What base models were trained on, and what distillation does not show them again.
FAMILIAR = {"entity": {"n_boxes": 3}, "tom": {"templates": "plain"}}
Head = tuple[int, int]


def transfer_row(
    student: Checkpoint,
    teacher: Checkpoint,
    mapping: Mapping[str, Any],
    circuit: Mapping[str, Any],
    base_circuit: Mapping[str, Any],
    held_out: Sequence[Example],
    familiar: Sequence[Example],
) -> dict[str, float]:
    """A row about one student.

    `circuit` is discovered anew in the student, `base_circuit` is its base's. cka_mapped and cka_random: the
    mean unbiased CKA (equation 2) of the mapped and of the control pairs at the last token of the held-out
    prompts. agreement: how often student and teacher give the same answer there, right or wrong.
    familiar_accuracy is what is left on prompts of the kind the base was trained on. trained_in_circuit:
    share of the mapped heads that the new circuit holds; same_as_base: intersection over union of circuits.
    """
    ours, theirs = _signals(student, held_out), _signals(teacher, held_out)
    answers = encode(student.tokenizer, held_out).answer_ids
    known = _signals(student, familiar)
    heads, before = _heads(circuit["heads"]), _heads(base_circuit["heads"])
    trained = _heads(mapping["student_heads"])
    return {
        "cka_mapped": _mean_cka(ours, theirs, mapping["pairs"]),
        "cka_random": _mean_cka(ours, theirs, mapping["random_pairs"]),
        "agreement": float((ours.labels == theirs.labels).float().mean()),
        "held_out_accuracy": float((ours.labels == answers).float().mean()),
        "familiar_accuracy": float(
            (known.labels == encode(student.tokenizer, familiar).answer_ids).float().mean()
        ),
        "trained_in_circuit": len(heads & trained) / len(trained),
        "same_as_base": len(heads & before) / len(heads | before) if heads | before else float("nan"),
        "n_circuit_heads": len(heads),
    }


def familiar_prompts(task: str, options: Mapping[str, Any], n_groups: int, seed: int) -> list[Example]:
    """Prompts of the kind that base models of a task are trained on."""
    return get_task(task, **{**options, **FAMILIAR[task]}).generate(n_groups, f"{seed} familiar")


def _signals(checkpoint: Checkpoint, examples: Sequence[Example]) -> TeacherSignals:
    """Answers and the outputs of every head at the last token."""
    shape = architecture(checkpoint.model)
    sites = [(layer, head) for layer in range(shape.n_layers) for head in range(shape.n_heads)]
    return teacher_signals(checkpoint.model, encode(checkpoint.tokenizer, examples), sites)


def _mean_cka(ours: TeacherSignals, theirs: TeacherSignals, pairs: Sequence[Mapping[str, Any]]) -> float:
    values = [
        linear_cka(
            ours.features[tuple(pair["student"])].flatten(1),
            theirs.features[tuple(pair["teacher"])].flatten(1),
            "unbiased",
        )
        for pair in pairs
    ]
    return float(torch.stack(values).mean())


def _heads(heads: Sequence[Sequence[int]]) -> set[Head]:
    return {(int(layer), int(head)) for layer, head in heads}
