"""Tune every role on the task's corpus."""

from __future__ import annotations

from typing import Any


def tune_models(
    small, medium, large, corpus_train, corpus_heldout, parameters: dict[str, Any], task: str, seed: int
) -> tuple:
    """Tuned small, medium, large; the large model tuned on the corpus alone; the record of their tuning."""
    from circuit_distillation.tasks.corpus import Instruction
    from circuit_distillation.training.family import tune_family

    corpus = [[Instruction(**row) for row in frame.to_dict("records")] for frame in (corpus_train, corpus_heldout)]
    return tune_family({"small": small, "medium": medium, "large": large}, *corpus, parameters, task, seed)
