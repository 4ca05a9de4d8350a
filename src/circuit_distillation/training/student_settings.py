"""Settings of students that are pruned from the large base and healed."""

from __future__ import annotations

from circuit_distillation.models.pruned_size import PrunedSize
from circuit_distillation.ranges import Accuracy, Count, CountOrZero, Rate, Strict


class PrunedStudent(Strict):
    """`target_accuracy` is by the measure that stops the large base's own training."""

    size: PrunedSize
    target_accuracy: Accuracy


class Healing(Strict):
    """`every`: steps from one look at the accuracy to the next, once the mark is near."""

    learning_rate: Rate
    warmup_steps: CountOrZero
    max_steps: Count
    every: Count
