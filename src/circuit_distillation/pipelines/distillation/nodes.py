"""Train every arm, and predict the test split with every model of the tables."""

from __future__ import annotations

import shutil
from typing import Any

from circuit_distillation.training.distillation_settings import DistillationSettings
from circuit_distillation.training.draws import order_seed, training_block
from circuit_distillation.training.rows import ACTING

KEPT_LOGITS_BYTES = 2**26  # of a split; larger ones are stored only for arms that need them


def label_prompts(teacher, train, n_train: int, labels: str, training_seed: int):
    """The teacher's labels of the training prompts, computed once for all arms."""
    encoded = _training_prompts(teacher.tokenizer, train, n_train, training_seed)
    return _labels(teacher, encoded, keep_logits=labels == "soft")


def label_prompts_with_logits(teacher, train, n_train: int, training_seed: int):
    """The same with the teacher's distribution, for arms that learn from it whatever the labels are."""
    encoded = _training_prompts(teacher.tokenizer, train, n_train, training_seed)
    return _labels(teacher, encoded, keep_logits=True)


def label_corpus(teacher, corpus, n_train: int, labels: str, seed: int, training_seed: int):
    """The same on next-token examples of the tuning corpus, for the "GOAT-style" students."""
    encoded = _corpus_examples(teacher.tokenizer, corpus, n_train, order_seed(seed, training_seed))
    return _labels(teacher, encoded, keep_logits=labels == "soft")


def cache_teacher(teacher, train, n_train: int, rows: str, observable: str, training_seed: int):
    """The teacher's activations on the training prompts, computed once for all arms that align."""
    encoded = _training_prompts(teacher.tokenizer, train, n_train, training_seed)
    return _activations(teacher, encoded, rows, observable)


def cache_corpus_teacher(
    teacher, corpus, n_train: int, rows: str, observable: str, seed: int, training_seed: int
):
    """The same on the examples of the tuning corpus."""
    drawn = order_seed(seed, training_seed)
    encoded = _corpus_examples(teacher.tokenizer, corpus, n_train, drawn)
    at = "last" if rows == ACTING else rows  # as `parameters.resolve` has it: no head's tokens are known here
    return _activations(teacher, encoded, at, observable)


def cache_observable(
    teacher, train, n_train: int, training_seed: int, settings: DistillationSettings, **pairs
):
    """What the arms beyond the paper align with, at the teacher heads of their `pairs` alone."""
    from circuit_distillation.training.teacher_cache import teacher_signals

    assert settings.alignment is not None, "these arms align"
    sites = sorted({tuple(pair["teacher"]) for record in pairs.values() for pair in record["pairs"]})
    encoded = _training_prompts(teacher.tokenizer, train, n_train, training_seed)
    observable = settings.alignment.observable
    return teacher_signals(teacher.model, encoded, sites, rows=settings.rows, observable=observable)


def find_acting(base, mapping, means):
    """Where each head of a student acts."""
    from circuit_distillation.circuits.acting import acting_effects

    return acting_effects(base, mapping, means)


def train_student(
    base, labels, train, validation, unfinished, settings: DistillationSettings, n_train: int, **given
) -> tuple:
    """A student, its trained weights merged, the history of its training, and the settings it had.

    `unfinished` is the folder with the checkpoint of a killed run; it is removed at the end.
    `given` holds training_seed, processes and sharded; heads where some train, pairs with the teacher's
    activations where the arm aligns, and acting, the effects by token, where that is asked for.
    """
    training_seed, effects = given.pop("training_seed"), given.pop("acting", None)
    prompts = _training_prompts(base.tokenizer, train, n_train, training_seed)
    if settings.rows == ACTING:
        block = training_block(train, n_train, training_seed)
        given["acting"] = _acting(effects, block, prompts)
    return _distill(base, labels, prompts, validation, unfinished, settings, **given)


def train_corpus_student(
    base, labels, corpus, validation, unfinished, settings: DistillationSettings, n_train: int, **given
) -> tuple:
    """A "GOAT-style" student: the same arm on the tuning corpus alone, validated on the task's prompts."""
    examples = _corpus_examples(base.tokenizer, corpus, n_train, settings.seed)
    return _distill(base, labels, examples, validation, unfinished, settings, **given)


def predict(checkpoint, heads: dict[str, Any], test, means, n_random: int, seed: int):
    """Test predictions of the full model, its circuit (a student's H_s, a circuit's heads), random ones."""
    from circuit_distillation.circuits.predictions import prediction_frame
    from circuit_distillation.models.architecture import check_heads

    kept = [tuple(head) for head in heads["student_heads" if "student_heads" in heads else "heads"]]
    check_heads(checkpoint.model, kept)
    return prediction_frame(checkpoint, test, means, kept, n_random, seed)


def _training_prompts(tokenizer, train, n_train: int, training_seed: int):
    from circuit_distillation.models.encoding import encode

    return encode(tokenizer, training_block(train, n_train, training_seed))


def _corpus_examples(tokenizer, corpus, n_train: int, seed: int):
    from circuit_distillation.tasks.corpus import Instruction
    from circuit_distillation.training.corpus_examples import next_token_examples

    instructions = [Instruction(**row) for row in corpus.to_dict("records")]
    return next_token_examples(tokenizer, instructions, n_train, seed)


def _labels(teacher, encoded, keep_logits: bool):
    """Without activations; with logits where they are small too."""
    from circuit_distillation.models.architecture import architecture
    from circuit_distillation.training.teacher_cache import teacher_signals

    size = 4 * len(encoded.input_ids) * architecture(teacher.model).vocab_size
    return teacher_signals(teacher.model, encoded, (), keep_logits=keep_logits or size <= KEPT_LOGITS_BYTES)


def _acting(effects, examples, encoded):
    from circuit_distillation.circuits.acting import acting_masks

    return acting_masks(effects, examples, encoded.input_ids.shape[1])


def _activations(teacher, encoded, rows: str, observable: str):
    """Of every head and layer, so that no mapping or arm needs the teacher again."""
    from circuit_distillation.models.architecture import architecture
    from circuit_distillation.training.teacher_cache import teacher_signals

    shape = architecture(teacher.model)
    layers = range(shape.n_layers)
    sites = [(layer, head) for layer in layers for head in (*range(shape.n_heads), None)]
    return teacher_signals(teacher.model, encoded, sites, rows=rows, observable=observable)


def _distill(
    base,
    labels,
    encoded,
    validation,
    unfinished,
    settings: DistillationSettings,
    *,
    processes: int,
    sharded: bool,
    heads=None,
    pairs=None,
    activations=None,
    acting=None,
) -> tuple:
    from circuit_distillation.models.encoding import encode
    from circuit_distillation.models.loading import check_same_model
    from circuit_distillation.training.launch import distill_in_processes

    if heads is not None:
        check_same_model(base.model, heads["model_hash"], "the student's heads", "head_mapping")
    history = distill_in_processes(
        base.model,
        encoded,
        encode(base.tokenizer, validation),
        _signals(labels, pairs, activations, settings),
        n_processes=processes,
        shard=sharded,
        settings=settings,
        heads=[] if heads is None else [tuple(head) for head in heads["student_heads"]],
        pairs=[] if pairs is None else [(tuple(p["student"]), tuple(p["teacher"])) for p in pairs["pairs"]],
        acting=acting,
        checkpoint_folder=unfinished,
    )
    shutil.rmtree(unfinished, ignore_errors=True)  # with what runs of other settings may have left there
    shares = {name: history.attrs[f"percent_{name}"] for name in ("heads", "parameters")}
    history = history.assign(**{f"pct_{name}": share for name, share in shares.items()})
    return base, history, settings.model_dump()


def _signals(labels, pairs, activations, settings: DistillationSettings):
    """Labels and activations in one, as `distill` takes them.

    Signals of an earlier run may be of another teacher or other parameters: ValueError with the remedy.
    """
    from dataclasses import replace

    faults = []
    if activations is not None and not (
        labels.teacher_hash == activations.teacher_hash == pairs["hashes"]["teacher"]
    ):
        faults.append("they are of another teacher than the pairs of heads")
    if activations is not None and activations.rows != settings.rows:
        faults.append(f"they hold the rows {activations.rows!r}, distillation.rows is {settings.rows!r}")
    aligned = settings.alignment
    if aligned and activations and aligned.sites == "heads" and activations.observable != aligned.observable:
        wanted = aligned.observable
        faults.append(f"they hold the {activations.observable!r} of heads, the settings say {wanted!r}")
    if labels.logits is None and settings.labels == "soft":
        faults.append("they lack the logits that soft labels need")
    if faults:
        raise ValueError(
            f"the stored signals of the teacher cannot be used: {'; '.join(faults)}. Make pairs and "
            "signals again: the same command with `--pipelines head_mapping,distillation` and without "
            "`--only-missing-outputs`"
        )
    if activations is None:
        return labels
    return replace(activations, labels=labels.labels, logits=labels.logits)
