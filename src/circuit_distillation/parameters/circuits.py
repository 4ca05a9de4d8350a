"""How circuits are found and measured."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from circuit_distillation.parameters.tasks import by_task
from circuit_distillation.ranges import Accuracy, Count, Fraction, Name, Processes, Strict, Weight

# Roles of the words of an entity-tracking prompt (tasks.entity_tracking).
SENDERS = re.compile(r"last|query_label|previous_label|answer_object|(box|object)_[1-9]\d?")


class Stage(Strict):
    """One backward stage of path patching; fields as in `circuits.discovery.Stage`."""

    name: Name
    sender: Annotated[
        str,
        Field(
            pattern=f"^({SENDERS.pattern})$",
            description="a role: last, query_label, previous_label, answer_object, box_k or object_k",
        ),
    ]
    receivers: tuple[str, ...] = ()
    receiver_input: Literal["q", "k", "v"] | None = None
    n_heads: Count
    min_drop: Weight
    z: Weight


class Minimality(Strict):
    """Pruning of the found heads: a head stays if removing it costs this share of the accuracy."""

    threshold: Accuracy


class PathPatching(Strict):
    """Circuit discovery for entity tracking."""

    method: Literal["path_patching"]
    n_examples: Count
    score: Literal["probability", "log_prob"]
    kv_scope: Literal["per_query_head", "group"]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    minimality: Minimality

    @field_validator("stages")
    @classmethod
    def _in_backward_order(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
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
        return stages


class MeanAblation(Strict):
    """Circuit discovery for theory of mind."""

    method: Literal["mean_ablation"]
    n_examples: Count
    fraction: Fraction


_Methods = by_task("_Methods", "", entity=PathPatching, others=MeanAblation)


class CircuitDiscovery(_Methods):
    """How the circuit of each task is found."""

    processes: Processes


class Evaluation(Strict):
    """How circuits are measured."""

    n_random_circuits: Annotated[int, Field(strict=True, ge=1, le=1000)]
    n_random_circuits_row: Annotated[int, Field(strict=True, ge=1, le=1000)]
