"""Train every arm, and predict the test split with every model of the tables."""

from __future__ import annotations

import shutil
from typing import Any

from circuit_distillation.parameters import Distillation
from circuit_distillation.parameters.study import chosen_settings
from circuit_distillation.pipelines.distillation.settings import distillation_settings
from circuit_distillation.training.draws import order_seed, training_block

KEPT_LOGITS_BYTES = 2**26  # of a split; larger ones are stored only for arms that need them


def cache_teacher(teacher, train, n_train: int, rows: str, labels: str, training_seed: int):
    """The teacher's labels and head outputs on the training prompts, computed once for all arms."""
    encoded = _training_prompts(teacher.tokenizer, train, n_train, training_seed)
    return _signals(teacher, encoded, rows, keep_logits=labels == "soft")


def cache_teacher_with_logits(teacher, train, n_train: int, rows: str, training_seed: int):
    """The same with the teacher's distribution, for arms that learn from it whatever the labels are."""
    encoded = _training_prompts(teacher.tokenizer, train, n_train, training_seed)
    return _signals(teacher, encoded, rows, keep_logits=True)


def cache_corpus_teacher(
    teacher, corpus, n_train: int, rows: str, labels: str, seed: int, training_seed: int
):
    """The same on next-token examples of the tuning corpus, for the "GOAT-style" students."""
    encoded = _corpus_examples(teacher.tokenizer, corpus, n_train, order_seed(seed, training_seed))
    return _signals(teacher, encoded, rows, keep_logits=labels == "soft")


def train_student(
    base, mapping, signals, train, validation, unfinished, parameters: Distillation, arm: str, **run
) -> tuple:
    """The student of one arm, its trained weights merged, and the history of its training.

    `unfinished` is the folder where a killed run leaves off and this one goes on; it is gone at the end.
    `run` holds family, task, seed, training_seed and the settings that the search chose.
    """
    prompts = _training_prompts(base.tokenizer, train, parameters.n_train, run["training_seed"])
    return _distill(base, mapping, signals, prompts, validation, unfinished, parameters, arm, run)


def train_corpus_student(
    base, mapping, signals, corpus, validation, unfinished, parameters: Distillation, arm: str, **run
) -> tuple:
    """A "GOAT-style" student: the same arm on the tuning corpus alone, validated on the task's prompts."""
    drawn = order_seed(run["seed"], run["training_seed"])
    examples = _corpus_examples(base.tokenizer, corpus, parameters.n_train, drawn)
    kind = arm.removeprefix("goat_")
    return _distill(base, mapping, signals, examples, validation, unfinished, parameters, kind, run)


def predict(checkpoint, heads: dict[str, Any], test, means, n_random: int, seed: int):
    """Test predictions of the full model, its circuit (a mapping's H_s, a circuit's heads), random ones."""
    from circuit_distillation.circuits.predictions import prediction_frame
    from circuit_distillation.models.architecture import check_heads
    from circuit_distillation.tasks.example import from_frame

    kept = [tuple(head) for head in heads.get("student_heads", heads.get("heads"))]
    check_heads(checkpoint.model, kept)
    return prediction_frame(checkpoint, from_frame(test), from_frame(means), kept, n_random, seed)


def _training_prompts(tokenizer, train, n_train: int, training_seed: int):
    from circuit_distillation.models.encoding import encode
    from circuit_distillation.tasks.example import from_frame

    return encode(tokenizer, training_block(from_frame(train), n_train, training_seed))


def _corpus_examples(tokenizer, corpus, n_train: int, seed: int):
    from circuit_distillation.tasks.corpus import Instruction
    from circuit_distillation.training.corpus_examples import next_token_examples

    instructions = [Instruction(**row) for row in corpus.to_dict("records")]
    return next_token_examples(tokenizer, instructions, n_train, seed)


def _signals(teacher, encoded, rows: str, keep_logits: bool):
    """Of every head and layer, so that no mapping or arm needs the teacher again; logits too where small."""
    from circuit_distillation.models.architecture import architecture
    from circuit_distillation.training.teacher_cache import teacher_signals

    shape = architecture(teacher.model)
    layers = range(shape.n_layers)
    sites = [(layer, head) for layer in layers for head in (*range(shape.n_heads), None)]
    small = 4 * len(encoded.input_ids) * shape.vocab_size <= KEPT_LOGITS_BYTES
    return teacher_signals(teacher.model, encoded, sites, rows=rows, keep_logits=keep_logits or small)


def _distill(
    base, mapping, signals, encoded, validation, unfinished, parameters: Distillation, arm: str, run
) -> tuple:
    from circuit_distillation.models.encoding import encode
    from circuit_distillation.models.loading import check_same_model
    from circuit_distillation.tasks.example import from_frame
    from circuit_distillation.training.arms import get_arm
    from circuit_distillation.training.launch import distill_in_processes

    check_same_model(base.model, mapping["hashes"]["student"], "the mapping", "head_mapping")
    chosen = chosen_settings(run["chosen"], run["family"], run["task"], arm)
    kind = get_arm(arm)
    _check_signals(signals, mapping, parameters, kind.soft_labels)
    history = distill_in_processes(
        base.model,
        encoded,
        encode(base.tokenizer, from_frame(validation)),
        signals,
        n_processes=parameters.processes,
        shard=parameters.sharded,
        arm=kind,
        heads=[tuple(head) for head in mapping["student_heads"]],
        pairs=_pairs(mapping["random_pairs" if kind.pairs == "random" else "pairs"]),
        settings=distillation_settings(parameters, chosen, order_seed(run["seed"], run["training_seed"])),
        checkpoint_folder=unfinished,
    )
    shutil.rmtree(unfinished, ignore_errors=True)  # with what runs of other settings may have left there
    shares = {name: history.attrs[f"percent_{name}"] for name in ("heads", "parameters")}
    return base, history.assign(**{f"pct_{name}": share for name, share in shares.items()})


def _check_signals(signals, mapping, parameters: Distillation, soft_labels: bool) -> None:
    """Signals of an earlier run may be of another teacher or other parameters: ValueError with the remedy."""
    faults = []
    if signals.teacher_hash != mapping["hashes"]["teacher"]:
        faults.append("they are of another teacher than the mapping")
    if signals.rows != parameters.rows:
        faults.append(f"they hold the rows {signals.rows!r}, distillation.rows is {parameters.rows!r}")
    if signals.logits is None and (soft_labels or parameters.labels == "soft"):
        faults.append("they lack the logits that soft labels need")
    if faults:
        raise ValueError(
            f"the stored signals of the teacher cannot be used: {'; '.join(faults)}. Make mapping and "
            "signals again: the same command with `--pipelines head_mapping,distillation` and without "
            "`--only-missing-outputs`"
        )


def _pairs(entries) -> list:
    """(student head, teacher head) from the mapping's JSON."""
    return [(tuple(entry["student"]), tuple(entry["teacher"])) for entry in entries]
