"""Where a model of a loaded family comes from."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from circuit_distillation.models.pruned_size import PrunedSize
from circuit_distillation.storage.sources import Place


class FamilyModel(Place, PrunedSize):
    """A model of a loaded family: its files or, outranking these, `pruned_from` and what is kept of that."""

    pruned_from: Literal["large"] | None = None

    @property
    def size(self) -> PrunedSize | None:
        """What is kept of the large model; None for a model with files of its own."""
        sizes = {name: getattr(self, name) for name in PrunedSize.model_fields}
        return None if self.pruned_from is None else PrunedSize(**sizes)

    @model_validator(mode="after")
    def _fits(self) -> FamilyModel:
        smaller = any(getattr(self, name) is not None for name in PrunedSize.model_fields)
        if self.pruned_from is None:
            self.check_given()
            if smaller:
                raise ValueError("`layers`, `hidden_size` and `kv_heads` are of a model with `pruned_from`")
        elif not smaller:
            raise ValueError("`pruned_from` needs at least one of `layers`, `hidden_size` and `kv_heads`")
        return self
