"""Interchange interventions: does a student head have the same causal effect as its teacher head?

High similarity of head outputs need not mean the same mechanism. Here the outputs of the mapped heads come
from another prompt, in student and teacher alike, and the two answers are compared (interchange intervention
accuracy, Geiger et al. 2022; between a student and its teacher, Wu et al. 2022).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

import torch
from torch import Tensor

from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.models.encoding import Encoded
from circuit_distillation.models.head_outputs import replaced_head_outputs
from circuit_distillation.training.teacher_cache import TeacherSignals

BATCH = 256
CONTROLS = 5  # draws of unmapped heads: one draw of four heads says little


@dataclass(frozen=True)
class Side:
    """A model on n prompts: its answers and head outputs there, and the heads whose outputs are exchanged."""

    model: CausalLM
    encoded: Encoded
    signals: TeacherSignals
    heads: Sequence[Head]


def interchange_accuracy(student: Side, teacher: Side) -> dict[str, float]:
    """How often student and teacher give the same answer after the exchange at the last token.

    Prompt i takes the outputs of prompt i + n/2 + 1. interchange: over all prompts. interchange_moved: over
    those whose teacher answer the exchange changes, nan if there is none; moved: their share.
    interchange_control: as interchange_moved, but the student's heads are as many drawn from the others, the
    mean over 5 draws: what two models agree on by chance and by what other heads of the student carry.
    """
    theirs = exchanged_answers(teacher)
    moved = theirs != teacher.signals.labels
    same = [
        (exchanged_answers(replace(student, heads=heads)) == theirs).double()
        for heads in (student.heads, *_unmapped(student))
    ]
    return {
        "interchange": float(same[0].mean()),
        "interchange_moved": float(same[0][moved].mean()),
        "interchange_control": mean(float(control[moved].mean()) for control in same[1:]),
        "moved": float(moved.double().mean()),
    }


def _unmapped(student: Side) -> list[list[Head]]:
    """Draws of as many heads as are mapped, or as there are, from those that are not; always the same."""
    heads = {(layer, head) for layer, head in student.signals.features if head is not None}
    others = sorted(heads - set(student.heads))
    size = min(len(student.heads), len(others))
    return [random.Random(draw).sample(others, size) for draw in range(CONTROLS)]


@torch.no_grad()
def exchanged_answers(side: Side) -> Tensor:
    """Top tokens [n] of a model whose `heads` output at the last token what they do on prompt i + n/2 + 1.

    Not i + n/2: prompts are stored scene by scene, so that would be the same question of another scene.
    """
    n = len(side.encoded.input_ids)
    source = torch.arange(n).roll(-(n // 2 + 1))
    outputs = {head: side.signals.features[head].flatten(1)[source] for head in side.heads}
    answers = [_answers(side, slice(start, start + BATCH), outputs) for start in range(0, n, BATCH)]
    return torch.cat(answers)


def _answers(side: Side, rows: slice, outputs: dict[Head, Tensor]) -> Tensor:
    last = side.encoded.positions["last"][rows]
    index = torch.arange(len(last))

    def exchange(layer: int, z: Tensor) -> Tensor:
        z = z.clone()
        for of_layer, head in outputs:
            if of_layer == layer:
                z[index, last, head] = outputs[of_layer, head][rows].to(z)
        return z

    with replaced_head_outputs(side.model, exchange):
        ids, mask = side.encoded.input_ids[rows], side.encoded.attention_mask[rows]
        logits = side.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return logits[index, last].argmax(-1)
