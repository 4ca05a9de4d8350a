"""Settings of students that are pruned from the large base and healed."""

from __future__ import annotations

from pydantic import model_validator

from circuit_distillation.models.mini_sizes import MINI_SIZES
from circuit_distillation.models.pruned_size import PrunedSize
from circuit_distillation.ranges import Accuracy, Count, CountOrZero, Flag, Rate, Strict, Weight


class PrunedStudent(PrunedSize):
    """A student: what stays of the large base, and how it is healed.

    `target_accuracy` is by the measure that stops the large base's own training. Healing takes at least
    `min_steps` and at most `max_steps` of AdamW at `learning_rate`, with a look at the accuracy every `every`
    steps. `lasso` is on the heads' output blocks or, with `log_lasso`, on the logarithm of their norms.
    """

    target_accuracy: Accuracy
    learning_rate: Rate
    lasso: Weight
    log_lasso: Flag
    min_steps: CountOrZero
    max_steps: Count
    every: Count

    @model_validator(mode="after")
    def _fits_the_large_base(self) -> PrunedStudent:
        large = MINI_SIZES["large"]
        layers = self.layers if isinstance(self.layers, tuple) else tuple(range(self.layers or 1))
        if list(layers) != sorted(set(layers)) or layers[-1] >= large.n_layers:
            raise ValueError(f"`layers` must rise and lie below {large.n_layers}, as those of the large base")
        if (self.hidden_size or 0) > large.d_model or (self.hidden_size or 0) % large.n_heads:
            raise ValueError(f"`hidden_size` must be a multiple of {large.n_heads}, at most {large.d_model}")
        if self.kv_heads not in (None, large.n_kv_heads):
            raise ValueError(f"`kv_heads` must be {large.n_kv_heads}, as in the other models of the family")
        if self.min_steps > self.max_steps:
            raise ValueError(f"`max_steps` = {self.max_steps} ends before `min_steps` = {self.min_steps}")
        return self


class PrunedStudents(Strict):
    """Both students of the large base."""

    small: PrunedStudent
    medium: PrunedStudent
