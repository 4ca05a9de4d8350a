"""One trial: a student trained with some settings changed, scored on the validation split alone."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from circuit_distillation.arms import ARMS
from circuit_distillation.circuits.predictions import prediction_frame
from circuit_distillation.mapping.build import HeadOutputs, build_mapping
from circuit_distillation.mapping.effects import Effects
from circuit_distillation.mapping.settings import MappingSettings
from circuit_distillation.models.architecture import architecture
from circuit_distillation.models.encoding import encode
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.tasks.example import Example
from circuit_distillation.training.arm_settings import KEYS, changed
from circuit_distillation.training.distill import distill
from circuit_distillation.training.distillation_settings import DistillationSettings
from circuit_distillation.training.teacher_cache import TeacherSignals, teacher_signals

if TYPE_CHECKING:
    import pandas as pd

MAPPING_KEYS = tuple(name for name in MappingSettings.model_fields if name != "seed")


@dataclass(frozen=True)
class HeadSide:
    """What the mapping knows of one model: ablation effects, the circuit's record, head outputs."""

    effects: Effects
    circuit: Mapping[str, Any]
    outputs: HeadOutputs


@dataclass
class TrialCase:
    """What every trial of a student starts from; nothing in it is of the test split."""

    student: Checkpoint
    teacher: Checkpoint
    train: Sequence[Example]
    validation: Sequence[Example]
    means: Sequence[Example]
    student_side: HeadSide
    teacher_side: HeadSide
    mapping: MappingSettings
    settings: Mapping[str, DistillationSettings]  # by arm
    _signals: dict[tuple[str, str], TeacherSignals] = field(default_factory=dict)

    @cached_property
    def train_ids(self):
        """The training prompts as the student reads them."""
        return encode(self.student.tokenizer, self.train)

    def signals(self, rows: str, observable: str = "z") -> TeacherSignals:
        """The teacher on the training prompts, once for each choice of rows and observable."""
        if (rows, observable) not in self._signals:
            shape = architecture(self.teacher.model)
            sites = [(layer, head) for layer in range(shape.n_layers) for head in range(shape.n_heads)]
            encoded = encode(self.teacher.tokenizer, self.train)
            self._signals[rows, observable] = teacher_signals(
                self.teacher.model, encoded, sites, rows=rows, observable=observable
            )
        return self._signals[rows, observable]

    def scarcer(self, n_train: int) -> TrialCase:
        """The same with the first n_train training prompts alone; ValueError if there are not so many."""
        if not 1 <= n_train <= len(self.train):
            raise ValueError(f"a trial of {n_train} training prompts, of which there are {len(self.train)}")
        return replace(self, train=self.train[:n_train], _signals={})

    def map_heads(self, settings: MappingSettings) -> dict[str, Any]:
        """The mapping under some settings, from the stored effects."""
        ours, theirs = self.student_side, self.teacher_side
        outputs = ours.outputs, theirs.outputs
        return build_mapping(
            ours.effects, theirs.effects, ours.circuit, theirs.circuit, settings, outputs=outputs
        )


def run_trial(
    case: TrialCase, arm: str, changes: Mapping[str, Any], beside: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Train a copy of the student and score it on validation prompts.

    `changes`, and what all trials have `beside` them, are named as in the parameters: `arm_settings.KEYS`,
    fields of MappingSettings, or n_train, the training prompts to use; ValueError for any other. Returns a
    row: arm, changes (JSON), {full,circuit}_accuracy and balanced_accuracy (over cells) on validation
    prompts, ce and similarity (mean of the last tenth of the steps), noise_floor, n_heads,
    distinct_teacher_heads, seconds.
    """
    wanted = dict(beside or {}) | dict(changes)
    if "n_train" in wanted:
        case = case.scarcer(wanted.pop("n_train"))
    training, mapping = split_changes(wanted)
    settings = changed(case.settings[arm], training)
    record = case.map_heads(MappingSettings(**case.mapping.model_dump() | mapping))
    heads = [tuple(head) for head in record["student_heads"]]
    pairs = record["random_pairs" if ARMS[arm].pairs == "random" else "pairs"]
    student = copy.deepcopy(case.student.model)
    history = distill(
        student,
        case.train_ids,
        encode(case.student.tokenizer, case.validation),
        case.signals(settings.rows, settings.alignment.observable if settings.alignment else "z"),
        settings=settings,
        heads=heads,
        pairs=[(tuple(pair["student"]), tuple(pair["teacher"])) for pair in pairs],
        progress_bar=False,
    )
    checkpoint = replace(case.student, model=student)
    scored = prediction_frame(checkpoint, case.validation, case.means, heads, 1, settings.seed)
    return {
        "arm": arm,
        "changes": json.dumps(dict(changes), sort_keys=True),
        **_accuracies(scored),
        **_ends(history),
        "n_heads": len(heads),
        "distinct_teacher_heads": record["distinct_teacher_heads"],
        "n_validation": len(scored),
    }


def split_changes(changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Changes of the training and of the mapping; ValueError for a name that neither has."""
    unknown = sorted(set(changes) - set(KEYS) - set(MAPPING_KEYS))
    if unknown:
        known = ", ".join(sorted((*KEYS, *MAPPING_KEYS)))
        raise ValueError(f"a trial cannot change {unknown[0]!r}; it can change {known}")
    training = {key: value for key, value in changes.items() if key in KEYS}
    return training, {key: value for key, value in changes.items() if key in MAPPING_KEYS}


def _accuracies(scored: pd.DataFrame) -> dict[str, float]:
    by_cell = scored["full_correct"].astype(float).groupby(scored["cell"]).mean()
    return {
        "full_accuracy": float(scored["full_correct"].mean()),
        "circuit_accuracy": float(scored["circuit_correct"].mean()),
        "balanced_accuracy": float(by_cell.mean()),
    }


def _ends(history: pd.DataFrame) -> dict[str, float]:
    last = history.tail(max(1, len(history) // 10))
    return {
        "ce": float(last["ce"].mean()),
        "similarity": float(last["similarity"].mean()),
        "noise_floor": float(last["noise_floor"].mean()),
        "steps": int(history["step"].iloc[-1]),
        "seconds": float(history["seconds"].iloc[-1]),
    }
