"""How a loaded model is tuned on a corpus; the parameter file says where each number is from."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, config=STRICT)
class LoraSettings:
    """Low-rank adapters as Goat has them (Liu & Low, 2023)."""

    rank: int = Field(64, ge=1)
    alpha: float = Field(64.0, gt=0)
    dropout: float = Field(0.05, ge=0, le=1)
    targets: tuple[str, ...] = Field(("q_proj", "k_proj", "v_proj", "o_proj"), min_length=1, strict=False)


@dataclass(frozen=True, config=STRICT)
class FineTuneSettings:
    """Recipe of one model."""

    method: Literal["full", "lora"]
    epochs: int = Field(ge=1)  # passes over the corpus
    batch_size: int = Field(ge=1)  # items a step, over all processes
    max_tokens: int = Field(ge=8)  # longer items are left out
    warmup_steps: int = Field(ge=0)
    learning_rate: float = Field(2e-5, gt=0, le=1)
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    weight_decay: float = Field(0.0, ge=0)
    clip_norm: float = Field(1.0, gt=0)  # L2 norm of all gradients together
    micro_batch_size: int = Field(16, ge=1)  # items in one forward
    precision: Literal["fp32", "bf16"] = "bf16"  # bf16: autocast
    gradient_checkpointing: bool = False
    checkpoint_every: int = Field(200, ge=1)  # steps
    lora: LoraSettings = Field(default_factory=LoraSettings)
    seed: int = 0  # order of the items, adapters, dropout
