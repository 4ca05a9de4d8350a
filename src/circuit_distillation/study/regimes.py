"""Many students of one family in one process: every arm on few and on many prompts, tested in and out of
distribution.

The arms of a regime differ in their losses and pairs alone. Nothing here chooses a setting on test prompts.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from circuit_distillation.arms import ARMS
from circuit_distillation.circuits.acting import acting_masks
from circuit_distillation.heads import Head, Pair
from circuit_distillation.models.architecture import CausalLM, architecture, decoder_layers
from circuit_distillation.models.encoding import Encoded, encode
from circuit_distillation.models.loading import Checkpoint
from circuit_distillation.tasks.example import Example
from circuit_distillation.training.distill import distill
from circuit_distillation.training.distillation_settings import DistillationSettings
from circuit_distillation.training.rows import ACTING
from circuit_distillation.training.teacher_cache import TeacherSignals, teacher_signals

if TYPE_CHECKING:
    import pandas as pd

BATCH = 256  # prompts in a forward of a test


@dataclass
class RegimeCase:
    """What every arm of a regime starts from.

    pairs: by the name that an arm has for them (`arms.Arm.pairs`). acting: of `circuits.acting_effects`.
    tests: set -> examples.
    """

    student: Checkpoint
    teacher: Checkpoint
    train: Sequence[Example]
    validation: Sequence[Example]
    tests: Mapping[str, Sequence[Example]]
    heads: Sequence[Head]
    pairs: Mapping[str, Sequence[Pair]]
    acting: pd.DataFrame
    _signals: dict[tuple[str, str], TeacherSignals] = field(default_factory=dict)

    @cached_property
    def train_ids(self) -> Encoded:
        return encode(self.student.tokenizer, self.train)

    @cached_property
    def masks(self) -> dict[Head, Tensor]:
        """Where each head of the student acts in the training prompts."""
        return acting_masks(self.acting, self.train, self.train_ids.input_ids.shape[1])

    def signals(self, settings: DistillationSettings) -> TeacherSignals:
        """The teacher on the training prompts, once for each observable and choice of rows."""
        observable = settings.alignment.observable if settings.alignment else "z"
        key = (settings.rows, observable)
        if key not in self._signals:
            sites = sorted({teacher for pairs in self.pairs.values() for _, teacher in pairs})
            encoded, rows = encode(self.teacher.tokenizer, self.train), settings.rows
            self._signals[key] = teacher_signals(
                self.teacher.model, encoded, sites, rows=rows, observable=observable, keep_logits=True
            )
        return self._signals[key]


def run_regime(
    case: RegimeCase, settings: Mapping[str, DistillationSettings]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train every arm and test it, with the base student (`base`) and the teacher (`teacher`) beside them.

    Returns:
        Outcomes: arm, set, example_id, group_id, cell, seen_answer (whether a training prompt has the same
        answer), candidate (the top token is a candidate), correct (it is the answer).
        Training: arm, steps, seconds, ce and similarity (means of the last tenth of the steps), and
        alignment_share (mean over the steps where it is measured).
    """
    import pandas as pd

    outcomes = [_tested(case, "base", case.student), _tested(case, "teacher", case.teacher)]
    training = []
    for arm, own in settings.items():
        if not can_align(case, arm):
            continue
        model, history = train_arm(case, arm, own)
        outcomes.append(_tested(case, arm, Checkpoint(model, case.student.tokenizer)))
        last = history.tail(max(1, len(history) // 10))
        ends = {name: float(last[name].mean()) for name in ("ce", "similarity")}
        ends["alignment_share"] = float(history["alignment_share"].mean())
        training.append({"arm": arm, "steps": len(history), "seconds": history["seconds"].iloc[-1]} | ends)
    return pd.concat(outcomes, ignore_index=True), pd.DataFrame(training)


def can_align(case: RegimeCase, arm: str) -> bool:
    """Whether there are pairs for an arm that aligns: a mapping by function may refuse every head."""
    return ARMS[arm].pairs == "none" or bool(case.pairs.get(ARMS[arm].pairs))


def train_arm(case: RegimeCase, arm: str, settings: DistillationSettings) -> tuple[CausalLM, pd.DataFrame]:
    """A trained copy of the student, and its history."""
    model = copy.deepcopy(case.student.model)
    history = distill(
        model,
        case.train_ids,
        encode(case.student.tokenizer, case.validation),
        case.signals(settings),
        settings=settings,
        heads=list(case.heads),
        pairs=list(case.pairs.get(ARMS[arm].pairs, ())),
        acting=case.masks if settings.rows == ACTING else None,
        progress_bar=False,
    )
    return model, history


def validation_accuracy(case: RegimeCase, arm: str, settings: DistillationSettings) -> float:
    """Of a trained arm on validation prompts, by the top token of the whole vocabulary."""
    _, history = train_arm(case, arm, settings)
    return float(history["validation_accuracy"].iloc[-1])


def lesioned(student: Checkpoint, heads: Sequence[Head], acting: pd.DataFrame, seed: int) -> Checkpoint:
    """A copy in which the head of `heads` that acts most has new random queries and keys.

    They have the standard deviation of the old ones. Under grouped queries the key is that of the group.
    """
    effects = acting.groupby(["layer", "head"])["effect"].sum()
    layer, head = max(heads, key=lambda own: effects[own])
    model = copy.deepcopy(student.model)
    shape, attention = architecture(model), decoder_layers(model)[layer].self_attn
    generator = torch.Generator().manual_seed(seed)
    for name, index in (("q_proj", head), ("k_proj", head // shape.group_size)):
        weight = getattr(attention, name).weight.data[index * shape.d_head :][: shape.d_head]
        weight.copy_(torch.randn(weight.shape, generator=generator).to(weight) * weight.std())
    return Checkpoint(model, student.tokenizer)


def _tested(case: RegimeCase, arm: str, checkpoint: Checkpoint) -> pd.DataFrame:
    import pandas as pd

    answers = {example.answer for example in case.train}
    frames = []
    for name, examples in case.tests.items():
        encoded = encode(checkpoint.tokenizer, examples)
        top = torch.cat(list(_top_tokens(checkpoint.model, encoded)))
        rows: dict[str, Any] = {
            "arm": arm,
            "set": name,
            "example_id": [example.example_id for example in examples],
            "group_id": [example.group_id for example in examples],
            "cell": [example.cell for example in examples],
            "seen_answer": [example.answer in answers for example in examples],
            "candidate": (top[:, None] == encoded.candidate_ids).any(1).numpy(),
            "correct": (top == encoded.answer_ids).numpy(),
        }
        frames.append(pd.DataFrame(rows))
    return pd.concat(frames, ignore_index=True)


@torch.no_grad()
def _top_tokens(model: CausalLM, encoded: Encoded) -> Iterator[Tensor]:
    for index in torch.arange(len(encoded.input_ids)).split(BATCH):
        ids, mask, last = (
            part[index].to(model.device)
            for part in (encoded.input_ids, encoded.attention_mask, encoded.positions["last"])
        )
        hidden = model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        yield model.lm_head(hidden[torch.arange(len(index)), last]).argmax(-1).cpu()
