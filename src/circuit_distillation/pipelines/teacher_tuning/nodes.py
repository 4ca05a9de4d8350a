"""Tune every role on the task's corpus."""

from __future__ import annotations

import shutil
from typing import Any

from circuit_distillation.parameters.models import FineTuning, TeacherTuning
from circuit_distillation.tasks.corpus import Instruction


def tune_models(
    corpus_train, corpus_heldout, parameters: TeacherTuning, task: str, seed: int, **bases
) -> tuple:
    """The tuned models in the order of `bases`, a model a role; the large one tuned on the corpus alone; the
    record of their tuning.
    """
    from circuit_distillation.training.family import tune_family

    held_out = {
        kind: _items(rows.drop(columns="held_out")) for kind, rows in corpus_heldout.groupby("held_out")
    }
    settings, run = getattr(parameters, task), (task, seed, parameters.max_workers)
    return tune_family(bases, _items(corpus_train), held_out, settings, *run)


def tune_loaded_model(
    base, corpus_train, corpus_heldout, parameters: FineTuning, task: str, role: dict, seed: int, unfinished
) -> tuple:
    """One loaded model tuned on the corpus alone, adapters merged, and the record of its tuning."""
    from circuit_distillation.training.finetuning import finetune

    settings = parameters.of_model(task, role["name"], seed)
    before = _held_out_scores(base, corpus_heldout, settings.max_tokens)
    tuning = finetune(
        base.model,
        base.tokenizer,
        _items(corpus_train),
        settings,
        unfinished,
        n_processes=parameters.processes,
        sharded=parameters.sharded and settings.method == "full",
        label=f"tuned {role['name']}",
    )
    shutil.rmtree(unfinished, ignore_errors=True)
    record = {
        "method": settings.method,
        "items": tuning.n_items,
        "items_too_long": tuning.n_long,
        "steps": len(tuning.history),
        "seconds": tuning.history[-1]["seconds"],
        "first_loss": tuning.history[0]["loss"],
        "last_loss": tuning.history[-1]["loss"],
        "corpus_before": before,
        "corpus": _held_out_scores(base, corpus_heldout, settings.max_tokens),
    }
    return base, record


def join_records(task: str, seed: int, **records: dict) -> dict:
    """One record of how all roles were tuned."""
    return {"task": task, "seed": seed, "models": records}


def _held_out_scores(checkpoint, corpus_heldout, max_tokens: int) -> dict[str, Any]:
    """Scores by the sort of held-out items."""
    from circuit_distillation.training.tuning_scores import tuning_scores

    scores = {}
    for sort, rows in corpus_heldout.groupby("held_out"):
        items = _items(rows.drop(columns="held_out"))
        scores[sort] = tuning_scores(checkpoint.model, checkpoint.tokenizer, items, max_tokens)
    return scores


def _items(frame) -> list[Instruction]:
    return [Instruction(**row) for row in frame.to_dict("records")]
