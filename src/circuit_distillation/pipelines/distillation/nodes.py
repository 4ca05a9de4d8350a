"""Train every arm, and predict the test split with every model of the tables."""

from __future__ import annotations

from circuit_distillation.parameters import Arm, Distillation, Evaluation


def cache_teacher(teacher, train, validation, parameters: Distillation):
    """The teacher's labels and head outputs on the task's training and validation prompts, computed once."""
    from circuit_distillation.models.encoding import encode
    from circuit_distillation.tasks.example import from_frame
    from circuit_distillation.training.teacher_signals import teacher_signals

    splits = {"train": from_frame(train)[: parameters.n_train], "validation": from_frame(validation)}
    encoded = {name: encode(teacher.tokenizer, examples) for name, examples in splits.items()}
    return teacher_signals(teacher.model, encoded, parameters.labels, parameters.rows)


def train_student(
    base, mapping: dict, signals, train, validation, parameters: Distillation, arm: Arm, seed: int
) -> tuple:
    """The student of one arm, its trained weights merged, and the history of its training."""
