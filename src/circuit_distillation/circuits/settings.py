"""Settings of circuit discovery and evaluation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator

from circuit_distillation.ranges import Accuracy, Count, Fraction, Name, Strict, Weight

# Roles of the words of an entity-tracking prompt (tasks.entity_tracking).
SENDERS = re.compile(r"last|query_label|previous_label|answer_object|(box|object)_[1-9]\d?")


# First-order approximations of the exact scores, and over how many inputs the gradient is averaged:
# EAP (Syed et al. 2023) at the clean input, EAP-IG (Hanna et al. 2024) at five.
ATTRIBUTION_STEPS = {"attribution": 1, "attribution_ig": 5}


class Stage(Strict):
    """One step of the backward search: which heads at the sender position matter to the receivers, or to the
    logits.

    A head is kept if its mean score is below -min_drop and below -z standard errors over the examples; of
    those the n_heads with the lowest scores stay.
    """

    name: Name
    sender: Annotated[
        str,
        Field(
            pattern=f"^({SENDERS.pattern})$",
            description="a role: last, query_label, previous_label, answer_object, box_k or object_k",
        ),
    ]
    receivers: tuple[str, ...] = ()  # names of earlier stages, patched all at once; none: the logits
    receiver_input: Literal["q", "k", "v"] | None = None
    n_heads: Count
    min_drop: Weight  # in units of the score
    z: Weight  # standard errors


class Pruning(Strict):
    """Pruning of the found heads: a head stays if removing it costs this share of the accuracy."""

    threshold: Accuracy


class PathPatching(Strict):
    """A search by path patching, stage by stage, then pruning (`discovery`, `minimality`)."""

    method: Literal["path_patching", "attribution", "attribution_ig"]  # how heads are scored
    n_examples: Count
    score: Literal["probability", "log_prob"]
    kv_scope: Literal["per_query_head", "group"]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    minimality: Pruning

    @field_validator("stages")
    @classmethod
    def _in_backward_order(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        check_order(stages)
        return stages


class MeanAblation(Strict):
    """The `fraction` of all heads whose ablation moves the answer's log-probability most."""

    method: Literal["mean_ablation", "attribution", "attribution_ig"]  # how the effect is found
    n_examples: Count
    fraction: Fraction


class Evaluation(Strict):
    """How many random circuits stand beside a discovered one, and beside a row of the tables."""

    n_random_circuits: Annotated[int, Field(strict=True, ge=1, le=1000)]
    n_random_circuits_row: Annotated[int, Field(strict=True, ge=1, le=1000)]


def check_order(stages: Sequence[Stage]) -> None:
    """ValueError if a name stands twice, a receiver is no earlier stage, or a stage lacks what it needs."""
    earlier: list[str] = []
    for stage in stages:
        unknown = [name for name in stage.receivers if name not in earlier]
        if stage.name in earlier:
            raise ValueError(f"stage `{stage.name}` stands twice: give every stage its own name")
        if unknown:
            raise ValueError(
                f"stage `{stage.name}` has receiver `{unknown[0]}`, which is no stage before it"
                f" ({', '.join(earlier) or 'there is none'})"
            )
        if bool(stage.receivers) != (stage.receiver_input is not None):
            raise ValueError(
                f"stage `{stage.name}` needs both `receivers` and `receiver_input` (q, k, v), or neither"
            )
        earlier.append(stage.name)
