"""Train a student on a teacher's recorded signals: the entry point of distillation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from circuit_distillation.circuits.prompts import equal_rows
from circuit_distillation.heads import Head, Pair
from circuit_distillation.models.architecture import CausalLM, architecture, check_dropout
from circuit_distillation.models.encoding import Encoded
from circuit_distillation.models.loading import model_hash
from circuit_distillation.similarity.measures import MEASURES
from circuit_distillation.training import sharding
from circuit_distillation.training.arm_heads import compared_sites, trained_heads
from circuit_distillation.training.distillation_settings import DistillationSettings
from circuit_distillation.training.features import Site
from circuit_distillation.training.float_weights import trained_in_float32
from circuit_distillation.training.head_slices import HeadSlices, Weights
from circuit_distillation.training.loop import DistillationLoop, Engine, Objective
from circuit_distillation.training.observables import OBSERVABLES
from circuit_distillation.training.rows import ACTING
from circuit_distillation.training.run_checkpoint import RunCheckpoint
from circuit_distillation.training.student_forward import Batches, StudentForward
from circuit_distillation.training.teacher_cache import TeacherSignals, data_hash

if TYPE_CHECKING:
    import pandas as pd
    from accelerate import Accelerator


def distill(
    student: CausalLM,
    train: Encoded,
    validation: Encoded,
    signals: TeacherSignals,
    *,
    settings: DistillationSettings,
    heads: Sequence[Head] = (),
    pairs: Sequence[Pair] = (),
    acting: Mapping[Head, Tensor] | None = None,
    checkpoint_folder: str | Path | None = None,
    shard: bool = False,
    on_step: Callable[[dict[str, float]], None] | None = None,
    progress_bar: bool = True,
) -> pd.DataFrame:
    """Train `student` in place; it is left a plain model, with the trained slices merged, in evaluation mode.

    Args:
        student: a supported causal LM without dropout.
        train: an encoded split.
        validation: an encoded split that scores the true answers and serves early stopping alone.
        signals: the teacher on `train` (`teacher_signals`), with the teacher heads of `pairs`.
        settings: all that the arm trains with (`arm_settings.arm_settings` makes them for an arm).
        heads: the student's circuit heads, where heads train.
        pairs: (student head, teacher head), mapped or random, where the arm aligns.
        acting: student head -> [n, token] bool, the tokens of `train` where it acts; for rows "acting".
        checkpoint_folder: where a killed run leaves off; the same call goes on from there and ends with the
            same weights and history. The checkpoint is removed at the end.
        shard: under several processes, spread the student over them (FSDP2) instead of copying it to each. It
            stays spread: read it with `sharding.whole_state_dict`.
        on_step: called with every row of the history as it is made.

    Returns:
        The history, one row a step: step, loss, ce, similarity (mean over pairs), similarity_0 .. per pair,
            noise_floor, skipped_pairs, alignment_share (`losses.gradient_share` of the alignment, its weight
            included, at the first step and where accuracy is measured, of one process alone), lr, seconds,
            validation_accuracy, validation_ce, measure (which similarity; empty without pairs). Losses are
            those before the step's update; seconds are those trained so far. `attrs` holds percent_heads and
            percent_parameters.

    Raises:
        ValueError: inputs that do not fit one another. FloatingPointError: a loss or gradient that is not
            finite.
    """
    import pandas as pd

    accelerator = _accelerator(settings)
    check_dropout(student.config)
    shape = architecture(student)
    sites = compared_sites(settings, heads, pairs, shape)
    labels, teacher = _targets(settings, train, signals, [site for _, site in sites], shape.vocab_size)
    acts = _acting_rows(settings, [site for site, _ in sites], acting)
    checkpoint = None
    if checkpoint_folder is not None:
        parts = (sites, list(heads), train, validation, labels, teacher, acts)
        checkpoint = Path(checkpoint_folder) / f"{_fingerprint(student, settings, *parts)}.safetensors"
    with (
        _on_device(student, None if shard else accelerator.device, settings.gradient_checkpointing),
        _trainable(student, trained_heads(settings, heads, shape), settings.weights) as slices,
    ):
        trains_on_labels = settings.loss != "none"
        read = settings.alignment.observable if settings.alignment else "z"
        own_sites = [site for site, _ in sites]
        forward = StudentForward(student, slices, own_sites, reads_logits=trains_on_labels, observable=read)
        objective = Objective(
            Batches(train, settings.rows, accelerator.device),
            labels,
            teacher,
            acts,
            Batches(validation, "last", accelerator.device),
            validation.answer_ids,
        )
        if shard:
            sharding.shard(forward, student, accelerator.device, kept={layer for (layer, _), _ in sites})
        engine = _engine(accelerator, forward, settings, len(objective.train), checkpoint, wrap=not shard)
        history = pd.DataFrame(DistillationLoop(engine, objective, settings).run(on_step, progress_bar))
        sharding.reshard(forward)
    if engine.checkpoint is not None and accelerator.is_main_process:
        engine.checkpoint.remove()
    history["measure"] = _measure(settings)
    history.attrs["percent_heads"] = 100.0 if slices is None else slices.percent_heads
    history.attrs["percent_parameters"] = 100.0 if slices is None else slices.percent_parameters
    return history


def _accelerator(settings: DistillationSettings) -> Accelerator:
    from accelerate import Accelerator, DistributedDataParallelKwargs

    # Without a label loss the weights above the highest compared site have no gradient; a wrapper would wait.
    wrapper = DistributedDataParallelKwargs(find_unused_parameters=settings.loss == "none")
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), kwargs_handlers=[wrapper])
    if settings.batch_size % accelerator.num_processes:
        raise ValueError(
            f"batch_size {settings.batch_size} must be a multiple of the number of processes, "
            f"{accelerator.num_processes}"
        )
    return accelerator


def _targets(
    settings: DistillationSettings,
    train: Encoded,
    signals: TeacherSignals,
    teacher_sites: Sequence[Site],
    vocab_size: int,
) -> tuple[Tensor, Tensor | None]:
    """Labels [n] or [n, vocabulary], and teacher activations [pair, n, row, width]."""
    if signals.data_hash != data_hash(train, signals.rows):
        raise ValueError(
            "the teacher's signals are of other prompts than the training split: make them again"
        )
    if settings.loss == "none" and not (settings.alignment and settings.alignment.cka_weight):
        raise ValueError("an arm without CE and with cka_weight 0 has no loss: raise cka_weight")
    labels = train.answer_ids if settings.labels == "gold" else signals.labels
    if settings.loss == "kl" or settings.labels == "soft":
        if signals.logits is None:
            raise ValueError("soft labels need the teacher's logits: make its signals with keep_logits=True")
        labels = signals.logits
    elif int(labels.max()) >= vocab_size:
        raise ValueError(f"a label is token {int(labels.max())}, the student has {vocab_size} tokens")
    if not teacher_sites:
        return labels, None
    if signals.rows != settings.rows:
        raise ValueError(
            f"the teacher's activations are of rows {signals.rows!r}, the settings say "
            f"{settings.rows!r}: make its signals again"
        )
    missing = [site for site in teacher_sites if site not in signals.features]
    if missing:
        raise ValueError(
            f"the teacher's signals lack the activations of {missing}: make them with these sites"
        )
    assert settings.alignment is not None, "only arms that align have sites"
    if signals.observable != settings.alignment.observable and settings.alignment.sites == "heads":
        raise ValueError(
            f"the teacher's activations are {signals.observable!r}, the settings say "
            f"{settings.alignment.observable!r}: make its signals again"
        )
    found = torch.stack([signals.features[site] for site in teacher_sites])
    if settings.alignment.teacher_prompts == "permuted":
        found = found[:, permuted_prompts(train, settings.seed)]
    return labels, found


def permuted_prompts(encoded: Encoded, seed: int) -> Tensor:
    """For each example another one of the same layout, [n]: the control that keeps all but the content.

    Examples of a layout have the same length and the same places of roles. Each takes the place of the next
    in a random order, so that only one alone in its layout stays itself; ValueError if half of them do.
    """
    generator, index = torch.Generator().manual_seed(seed), torch.arange(len(encoded.input_ids))
    for _, own in equal_rows(*encoded.positions.values()):
        order = own[torch.randperm(len(own), generator=generator)]
        index[order] = order.roll(1)
    alone = int((index == torch.arange(len(index))).sum())
    if 2 * alone >= len(index):
        raise ValueError(
            f"{alone} of {len(index)} prompts have no other prompt of their layout, which the control with "
            "other prompts needs: give more prompts"
        )
    return index


def _acting_rows(
    settings: DistillationSettings, sites: Sequence[Site], acting: Mapping[Head, Tensor] | None
) -> Tensor | None:
    """[site, n, token] where `rows` is "acting", else None."""
    if settings.rows != ACTING:
        return None
    lacking = [site for site in sites if acting is None or site not in acting]
    if acting is None or lacking:
        raise ValueError(f"rows 'acting' needs the tokens where the student heads {lacking} act")
    return torch.stack([acting[(layer, head)] for layer, head in sites if head is not None])


def _measure(settings: DistillationSettings) -> str:
    """What the column `similarity` of a history is of."""
    if settings.alignment is None:
        return ""
    alignment = settings.alignment
    what = OBSERVABLES[alignment.observable].label if alignment.sites == "heads" else "residual streams"
    return f"{MEASURES[alignment.similarity].label} of {what}"


@contextmanager
def _on_device(student: CausalLM, device: torch.device | None, checkpointing: bool) -> Iterator[None]:
    """The student in training mode (gradient checkpointing asks for it) and on the device, then put back.

    Without a device it stays: sharding moves it layer by layer, so that it is never whole on one device.
    """
    home = next(student.parameters()).device
    student.train()
    if device is not None:
        student.to(device)
    if checkpointing:
        student.gradient_checkpointing_enable({"use_reentrant": False})
    try:
        yield
    finally:
        if checkpointing:
            student.gradient_checkpointing_disable()
        if device is not None:
            student.to(home)
        student.eval()


@contextmanager
def _trainable(
    student: CausalLM, heads: Sequence[Head] | None, weights: Weights
) -> Iterator[HeadSlices | None]:
    """The slices of `heads` while they train, merged at the end; all weights if `heads` is None."""
    slices = None if heads is None else HeadSlices(student, heads, weights)
    if slices is None:
        student.requires_grad_(True)
    try:
        with trained_in_float32(student) if slices is None else nullcontext():
            yield slices
    finally:
        if slices is not None:
            slices.merge()
        student.zero_grad(set_to_none=True)


def _engine(
    accelerator: Accelerator,
    forward: StudentForward,
    settings: DistillationSettings,
    n_examples: int,
    checkpoint: Path | None,
    wrap: bool,
) -> Engine:
    from transformers import get_scheduler

    optimizer = torch.optim.AdamW(
        forward.trainable(),
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
    )
    scheduler = get_scheduler(settings.schedule, optimizer, settings.warmup_steps, settings.steps(n_examples))
    wrapped = accelerator.prepare(forward) if wrap else forward
    saved, writes = None, accelerator.is_main_process
    if checkpoint is not None:
        saved = RunCheckpoint(checkpoint, forward.trainable(), optimizer, scheduler, writes)
    return Engine(accelerator, forward, wrapped, optimizer, scheduler, saved)


def _fingerprint(student: CausalLM, settings: DistillationSettings, *parts: object) -> str:
    """SHA-256 over all that determines a run: student, settings, data and the teacher's part."""
    digest = hashlib.sha256(model_hash(student).encode())
    digest.update(settings.model_dump_json().encode())
    for part in parts:
        for value in (*vars(part).values(),) if isinstance(part, Encoded) else (part,):
            for leaf in value.values() if isinstance(value, dict) else (value,):
                data = leaf.float().numpy().tobytes() if isinstance(leaf, Tensor) else repr(leaf).encode()
                digest.update(data)
    return digest.hexdigest()
