"""Was a mechanism transferred? Compare a trained student with its teacher on prompts that it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import architecture
from circuit_distillation.models.encoding import encode
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.similarity.cka import linear_cka
from circuit_distillation.study.interchange import Side, interchange_accuracy
from circuit_distillation.tasks import get_task
from circuit_distillation.tasks.example import Example
from circuit_distillation.training.teacher_cache import teacher_signals

# What base models were trained on, and what distillation does not show them again.
FAMILIAR: dict[str, dict[str, Any]] = {"entity": {"n_boxes": 3}, "tom": {"templates": "plain"}}
# Layouts that distillation never shows: smaller scenes; stories that say what characters unasked for see.
NOVEL: dict[str, dict[str, Any]] = {"entity": {"n_boxes": 5}, "tom": {"templates": "decoy"}}


def transfer_row(
    student: Checkpoint,
    teacher: Checkpoint,
    mapping: Mapping[str, Any],
    circuit: Mapping[str, Any],
    base_circuit: Mapping[str, Any],
    held_out: Sequence[Example],
    familiar: Sequence[Example],
    novel: Sequence[Example],
) -> dict[str, float]:
    """A row about one student.

    `circuit` is discovered again in the student, `base_circuit` is its base's. Columns:
    cka_mapped, cka_random: mean unbiased CKA (equation 2) of the mapped and of the control pairs at the last
    token of the held-out prompts; cka_weighted: mapped pairs by the size of the student head's impact
    (equation 3); cka_mapped_novel, cka_random_novel: on novel layouts. agreement: how often student and
    teacher give the same held-out answer, right or wrong; those of `interchange.interchange_accuracy`: after
    their mapped heads took outputs of another prompt. familiar_accuracy, familiar_ce (nats): what is left on
    prompts of the kind the base was trained on. trained_in_circuit: share of the mapped heads that the new
    circuit holds; same_as_base: intersection over union of circuits.
    """
    ours, theirs = _side(student, held_out, mapping, "student"), _side(teacher, held_out, mapping, "teacher")
    apart = _side(student, novel, mapping, "student"), _side(teacher, novel, mapping, "teacher")
    weights = [abs(pair["student_impact"]) for pair in mapping["pairs"]]
    labels, answers = ours.signals.labels, ours.encoded.answer_ids
    return {
        "cka_mapped": _mean_cka(ours, theirs, mapping["pairs"]),
        "cka_weighted": _mean_cka(ours, theirs, mapping["pairs"], weights),
        "cka_random": _mean_cka(ours, theirs, mapping["random_pairs"]),
        "cka_mapped_novel": _mean_cka(*apart, mapping["pairs"]),
        "cka_random_novel": _mean_cka(*apart, mapping["random_pairs"]),
        "agreement": float((labels == theirs.signals.labels).float().mean()),
        **interchange_accuracy(ours, theirs),
        "held_out_accuracy": float((labels == answers).float().mean()),
        **_left(_side(student, familiar, mapping, "student")),
        **_circuits(circuit, base_circuit, mapping),
    }


def _left(familiar: Side) -> dict[str, float]:
    """Accuracy and cross-entropy on familiar prompts."""
    answers, logits = familiar.encoded.answer_ids, familiar.signals.logits
    assert logits is not None, "every side keeps its logits"
    return {
        "familiar_accuracy": float((familiar.signals.labels == answers).float().mean()),
        "familiar_ce": float(torch.nn.functional.cross_entropy(logits.float(), answers)),
    }


def _circuits(circuit: Mapping, base_circuit: Mapping, mapping: Mapping) -> dict[str, float]:
    heads, before = _heads(circuit["heads"]), _heads(base_circuit["heads"])
    trained = _heads(mapping["student_heads"])
    return {
        "trained_in_circuit": len(heads & trained) / len(trained),
        "same_as_base": len(heads & before) / len(heads | before) if heads | before else float("nan"),
        "n_circuit_heads": len(heads),
    }


def prompts_of(kind: Mapping[str, dict], task: str, options: Mapping[str, Any], n: int, seed: str) -> list:
    """Examples of `n` scenes or stories of a task whose options are those of FAMILIAR or NOVEL."""
    return get_task(task, **{**options, **kind[task]}).generate(n, seed)


def _side(
    checkpoint: Checkpoint, examples: Sequence[Example], mapping: Mapping[str, Any], which: str
) -> Side:
    """A model on prompts, the outputs of every head at the last token with it."""
    shape, encoded = architecture(checkpoint.model), encode(checkpoint.tokenizer, examples)
    sites = [(layer, head) for layer in range(shape.n_layers) for head in range(shape.n_heads)]
    signals = teacher_signals(checkpoint.model, encoded, sites, keep_logits=True)
    heads = sorted({tuple(pair[which]) for pair in mapping["pairs"]})
    return Side(checkpoint.model, encoded, signals, heads)


def _mean_cka(
    ours: Side, theirs: Side, pairs: Sequence[Mapping[str, Any]], weights: Sequence[float] | None = None
) -> float:
    """The mean over pairs, weighted if weights are given (nan where they are all 0)."""
    values = [
        linear_cka(
            ours.signals.features[tuple(pair["student"])].flatten(1),
            theirs.signals.features[tuple(pair["teacher"])].flatten(1),
            "unbiased",
        )
        for pair in pairs
    ]
    share = torch.ones(len(pairs)) if weights is None else torch.tensor(weights)
    return float((torch.stack(values) * share).sum() / share.sum())


def _heads(heads: Sequence[Sequence[int]]) -> set[Head]:
    return {(int(layer), int(head)) for layer, head in heads}
