"""Interchange interventions: does a head of the student cause what the head it was mapped onto causes?

High similarity of head outputs need not mean the same mechanism. Here the outputs of the mapped heads come
from another prompt, in student and teacher alike, and the two answers are compared (interchange intervention
accuracy, Geiger et al. 2022; between a student and its teacher, Wu et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuit_distillation.models.encoding import Encoded
from circuit_distillation.models.head_outputs import replaced_head_outputs
from circuit_distillation.training.teacher_cache import TeacherSignals

Head = tuple[int, int]
BATCH = 256


@dataclass(frozen=True)
class Side:
    """A model on n prompts: its answers and head outputs there, and the heads whose outputs are exchanged."""

    model: torch.nn.Module
    encoded: Encoded
    signals: TeacherSignals
    heads: Sequence[Head]


def interchange_accuracy(student: Side, teacher: Side) -> dict[str, float]:
    """How often student and teacher give the same answer after the exchange at the last token.

    Prompt i takes the outputs of prompt i + n/2 + 1. interchange: over all prompts. interchange_moved: over
    those whose teacher answer the exchange changes, nan if there is none; moved: their share.
    """
    theirs, ours = exchanged_answers(teacher), exchanged_answers(student)
    same, moved = (ours == theirs).double(), theirs != teacher.signals.labels
    return {
        "interchange": float(same.mean()),
        "interchange_moved": float(same[moved].mean()),
        "moved": float(moved.double().mean()),
    }


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
