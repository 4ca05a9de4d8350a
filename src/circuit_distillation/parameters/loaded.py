"""Families whose base models are loaded: where the files are, how models are held and tuned."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from circuit_distillation.parameters.tasks import by_task
from circuit_distillation.ranges import (
    Accuracy,
    Count,
    CountOrZero,
    Flag,
    Positive,
    Processes,
    Rate,
    Strict,
    Weight,
)

HubId = Annotated[
    str,
    Field(
        pattern=r"^[\w.-]+/[\w.-]+$", description="an id of the hub, owner/name, of letters, digits and `_.-`"
    ),
]
Commit = Annotated[
    str,
    Field(pattern=r"^[0-9a-f]{40}$", description="a commit of 40 hexadecimal digits (a branch would move)"),
]
Device = Annotated[
    str,
    Field(pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu, cuda or cuda:N (one device holds a whole model)"),
]


class Files(Strict):
    """A folder or file of one's own (`path` goes first), or a repository of the hub at a commit."""

    hub_id: HubId | None = None
    revision: Commit | None = None
    path: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _says_where(self) -> Files:
        if self.path is None and self.hub_id is None:
            raise ValueError("give a `path`, or a `hub_id` with its `revision`")
        if self.path is None and self.revision is None:
            raise ValueError(f"`revision` of {self.hub_id} is missing: pin a commit of 40 hexadecimal digits")
        return self


class Models(Strict):
    """The base model of each role."""

    small: Files
    medium: Files
    large: Files


class Loading(Strict):
    """How every model of the family is held in memory."""

    dtype: Literal["float32", "bfloat16", "float16"]
    device_map: Device | None
    attention: Literal["sdpa", "eager", "flash_attention_2"]
    tf32: Flag

    @model_validator(mode="after")
    def _flash_needs_half(self) -> Loading:
        if self.attention == "flash_attention_2" and self.dtype == "float32":
            raise ValueError("`attention` flash_attention_2 needs `dtype` bfloat16 or float16; or use sdpa")
        return self


class CorpusFile(Files):
    """A data set in the form of the hub; `file` is its name in the repository."""

    file: str | None = None

    @model_validator(mode="after")
    def _names_a_file(self) -> CorpusFile:
        if self.path is None and self.file is None:
            raise ValueError(f"`file` is missing: name the data file of {self.hub_id}")
        return self


class Lora(Strict):
    """Low-rank adapters; fields as in peft."""

    rank: Count
    alpha: Positive
    dropout: Accuracy
    targets: Annotated[tuple[str, ...], Field(min_length=1)]


class TuningTask(Strict):
    """Tuning on the corpus of one task; fields as in `training.finetuning`."""

    epochs: Count
    batch_size: Count
    max_tokens: Annotated[int, Field(strict=True, ge=8)]
    warmup_steps: CountOrZero


class Methods(Strict):
    """Full tuning or LoRA, by role."""

    small: Literal["full", "lora"]
    medium: Literal["full", "lora"]
    large: Literal["full", "lora"]


_Tunings = by_task("_Tunings", "", others=TuningTask)


class FineTuning(_Tunings):
    """How loaded models are tuned on the corpus of a task."""

    method: Methods
    learning_rate: Rate
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"]
    weight_decay: Weight
    clip_norm: Positive
    micro_batch_size: Count
    precision: Literal["fp32", "bf16"]
    gradient_checkpointing: Flag
    checkpoint_every: Count
    processes: Processes
    sharded: Flag
    lora: Lora

    @model_validator(mode="after")
    def _shared_with_somebody(self) -> FineTuning:
        if self.sharded and self.processes == 1:
            raise ValueError("`sharded` spreads a model over processes: set `processes` to 2 or more")
        return self


class HeldOut(Strict):
    """Questions of other forms, for evaluation alone: generated scenes, and files of other authors."""

    scenes: CountOrZero
    max_operations: Annotated[int, Field(strict=True, ge=0, le=50)]
    bigtom: str | None
    tomi: str | None
    hitom: str | None


class Machine(Strict):
    """What the plan has to fit into."""

    gpu_memory_gb: Positive
    n_gpus: Count
    utilisation: Annotated[float, Field(strict=True, gt=0, le=1)]
