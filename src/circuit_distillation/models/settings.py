"""Settings for loading models that are not trained here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from circuit_distillation.ranges import Flag, Strict

Device = Annotated[
    str,
    Field(pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu, cuda or cuda:N (one device holds a whole model)"),
]


class Loading(Strict):
    """dtype: of the weights in memory. device_map: the one device that holds a model; None: the first GPU if
    there is one. attention: an implementation of transformers. tf32: float32 products on tensor cores.
    """

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device_map: Device | None = None
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    tf32: Flag = False

    @model_validator(mode="after")
    def _flash_needs_half(self) -> Loading:
        if self.attention == "flash_attention_2" and self.dtype == "float32":
            raise ValueError("`attention` flash_attention_2 needs `dtype` bfloat16 or float16; or use sdpa")
        return self
