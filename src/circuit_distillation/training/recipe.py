"""The recipe that a task needs to train the mini family, and how its phases are run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.tasks.corpus import Instruction
from circuit_distillation.training.pretraining import Sampler, StopRule, TrainSettings, train_on


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one sampler and one setting, up to its step limit or its stop rule."""

    name: str
    sample: Sampler
    settings: TrainSettings
    stop: StopRule | None = None


class Recipe(Protocol):
    """How one task trains and tunes the mini family; built from the task's block of parameters."""

    def words(self) -> list[str]:
        """Every word and sign of the task and of its tuning corpus."""

    def pretraining(self, tokenizer: Any, role: str, seed: int) -> list[Phase]:
        """Phases from a fresh model to a base of partial ability."""

    def tuning(
        self, tokenizer: Any, role: str, seed: int, corpus: Sequence[Instruction], corpus_only: bool
    ) -> list[Phase]:
        """Phases from a base to a tuned model; ``corpus_only`` leaves every in-domain prompt out."""

    def accuracies(self, model: CausalLM, tokenizer: Any, seed: int) -> dict[str, float]:
        """Full-vocabulary accuracy on fresh prompts, overall and by whatever cells the task has."""


def run_phases(model: CausalLM, phases: Sequence[Phase], label: str) -> list[dict[str, Any]]:
    """Run phases one after the other on a model, in place; returns a summary of each.

    ``curve`` holds [step, validation accuracy] wherever it was measured.
    """
    summaries = []
    for phase in phases:
        title = f"{label}, {phase.name}"
        history = train_on(model, phase.sample, phase.settings, stop=phase.stop, progress=title)
        curve = [[row["step"], row["validation_accuracy"]] for row in history]
        last = {name: value for name, value in history[-1].items() if name != "validation_accuracy"}
        measured = [point for point in curve if not np.isnan(point[1])]
        summaries.append({"phase": phase.name, **last, "curve": measured})
    return summaries
