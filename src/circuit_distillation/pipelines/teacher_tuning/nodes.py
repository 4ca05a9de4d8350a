"""Tune every role on the task's corpus."""

from __future__ import annotations

from typing import Any


def tune_models(
    small, medium, large, corpus_train, corpus_heldout, parameters: dict[str, Any], task: str, seed: int
) -> tuple:
    """Tuned small, medium, large; the large model tuned on the corpus alone; the record of their tuning."""
    from circuit_distillation.training.family import tune_family

    bases = {"small": small, "medium": medium, "large": large}
    held_out = {kind: _items(rows.drop(columns="held_out")) for kind, rows in corpus_heldout.groupby("held_out")}
    return tune_family(bases, _items(corpus_train), held_out, parameters, task, seed)


def _items(frame) -> list:
    from circuit_distillation.tasks.corpus import Instruction

    return [Instruction(**row) for row in frame.to_dict("records")]
