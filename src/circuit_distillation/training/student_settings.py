"""Settings of students that are pruned from the large base and healed."""

from __future__ import annotations

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


class PrunedStudents(Strict):
    """Both students of the large base."""

    small: PrunedStudent
    medium: PrunedStudent
