"""Train every arm, and predict the test split with every model of the tables."""

from __future__ import annotations

from typing import Any

from circuit_distillation.parameters import Distillation, Evaluation


def cache_teacher(teacher, train, parameters: Distillation):
    """The teacher's labels and head outputs on the training prompts, computed once for all arms."""
    encoded = _training_prompts(teacher.tokenizer, train, parameters)
    return _signals(teacher, encoded, parameters)


def cache_corpus_teacher(teacher, corpus, parameters: Distillation, seed: int):
    """The same on next-token examples of the tuning corpus, for the "GOAT-style" students."""
    return _signals(teacher, _corpus_examples(teacher.tokenizer, corpus, parameters, seed), parameters)


def train_student(base, mapping, signals, train, validation, parameters: Distillation, arm: str, seed: int) -> tuple:
    """The student of one arm, its trained weights merged, and the history of its training."""
    return _distill(base, mapping, signals, _training_prompts(base.tokenizer, train, parameters), validation, parameters, arm, seed)


def train_corpus_student(
    base, mapping, signals, corpus, validation, parameters: Distillation, arm: str, seed: int
) -> tuple:
    """A "GOAT-style" student: the same arm on the tuning corpus alone, looked at on the task's validation split."""
    examples = _corpus_examples(base.tokenizer, corpus, parameters, seed)
    return _distill(base, mapping, signals, examples, validation, parameters, arm.removeprefix("goat_"), seed)


def predict(checkpoint, heads: dict[str, Any], test, means, parameters: Evaluation, seed: int):
    """Test predictions of the full model, of its circuit (a mapping's H_s, or a circuit's heads) and of random circuits."""
    from circuit_distillation.circuits.predictions import prediction_frame
    from circuit_distillation.tasks.example import from_frame

    kept = [tuple(head) for head in heads.get("student_heads", heads.get("heads"))]
    n_random = parameters.n_random_circuits_row
    return prediction_frame(checkpoint, from_frame(test), from_frame(means), kept, n_random, seed)


def _training_prompts(tokenizer, train, parameters: Distillation):
    from circuit_distillation.models.encoding import encode
    from circuit_distillation.tasks.example import from_frame

    examples = from_frame(train)[: parameters.n_train]
    if len(examples) < parameters.n_train:
        raise ValueError(
            f"the training split has {len(examples)} prompts, distillation.n_train asks for {parameters.n_train}: "
            "raise data_generation.groups"
        )
    return encode(tokenizer, examples)


def _corpus_examples(tokenizer, corpus, parameters: Distillation, seed: int):
    from circuit_distillation.tasks.corpus import Instruction
    from circuit_distillation.training.corpus_examples import next_token_examples

    instructions = [Instruction(**row) for row in corpus.to_dict("records")]
    return next_token_examples(tokenizer, instructions, parameters.n_train, seed)


def _signals(teacher, encoded, parameters: Distillation):
    from circuit_distillation.models.architecture import architecture
    from circuit_distillation.training.teacher_cache import teacher_signals

    shape = architecture(teacher.model)
    layers = range(shape.n_layers)
    sites = [(layer, head) for layer in layers for head in range(shape.n_heads)] + [(layer, None) for layer in layers]
    keep_logits = parameters.labels == "soft" or "full_kl" in parameters.extra_arms
    return teacher_signals(teacher.model, encoded, sites, rows=parameters.rows, keep_logits=keep_logits)


def _distill(base, mapping, signals, encoded, validation, parameters: Distillation, arm: str, seed: int) -> tuple:
    from circuit_distillation.models.encoding import encode
    from circuit_distillation.tasks.example import from_frame
    from circuit_distillation.training.arms import get_arm
    from circuit_distillation.training.distill import distill
    from circuit_distillation.training.distillation_settings import DistillationSettings

    settings = DistillationSettings(**parameters.model_dump(exclude={"n_train", "extra_arms"}), seed=seed)
    pairs = mapping["random_pairs" if get_arm(arm).pairs == "random" else "pairs"]
    history = distill(
        base.model,
        encoded,
        encode(base.tokenizer, from_frame(validation)),
        signals,
        arm=arm,
        heads=[tuple(head) for head in mapping["student_heads"]],
        pairs=[(tuple(pair["student"]), tuple(pair["teacher"])) for pair in pairs],
        settings=settings,
    )
    shares = {"pct_heads": history.attrs["percent_heads"], "pct_parameters": history.attrs["percent_parameters"]}
    return base, history.assign(**shares)
