"""Settings for tuning loaded models on a corpus; the parameter file gives the source of each number."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from circuit_distillation.ranges import Count, CountOrZero, Flag, Positive, Rate, Strict, Weight

Method = Literal["full", "lora"]


class LoraSettings(Strict):
    """Low-rank adapters; fields as in peft."""

    rank: Count
    alpha: Positive
    dropout: Annotated[float, Field(strict=True, ge=0, lt=1)]
    targets: Annotated[tuple[str, ...], Field(min_length=1)]


class CorpusPasses(Strict):
    """What differs between the corpora."""

    epochs: Count  # passes over the corpus
    batch_size: Count  # items a step
    max_tokens: Annotated[int, Field(strict=True, ge=8)]  # longer items are left out
    warmup_steps: CountOrZero


class TuningSettings(Strict):
    """What all corpora and roles share."""

    learning_rate: Rate
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"]
    weight_decay: Weight
    clip_norm: Positive  # L2 norm of all gradients together
    micro_batch_size: Count  # items in one forward
    precision: Literal["fp32", "bf16"]  # bf16: autocast
    gradient_checkpointing: Flag
    checkpoint_every: Count  # steps
    lora: LoraSettings


class FineTuneSettings(CorpusPasses, TuningSettings):
    """All settings of one model."""

    method: Method
    seed: int = 0  # order of the items, adapters, dropout
