"""Tuning a loaded model on a corpus: all weights or LoRA, on transformers' Trainer; a killed run goes on."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments, get_scheduler

from circuit_distillation.compute.halving import within_memory
from circuit_distillation.compute.processes import ModelOnDisk, run_in_processes
from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.models.loading import model_hash
from circuit_distillation.storage.tensors import read_tensors, write_tensors
from circuit_distillation.training.adapters import adapted
from circuit_distillation.training.finetuning_settings import FineTuneSettings
from circuit_distillation.training.float_weights import trained_in_float32
from circuit_distillation.training.packed_instructions import PromptAndResponse
from circuit_distillation.training.run_checkpoint import Progress, RunCheckpoint
from circuit_distillation.training.sharding import reshard, shard, whole_state_dict
from circuit_distillation.training.tuning_tokens import TuningTokens, tokenise
from circuit_distillation.training.tuning_trainer import Journal, ResponseLoss, Steps, TuningTrainer


@dataclass(frozen=True)
class Tuning:
    """What tuning a model came to: a row a step (step, loss, lr, seconds), and the items left out."""

    history: list[dict[str, float]]
    n_items: int
    n_long: int


def finetune(
    model: CausalLM,
    tokenizer: Any,
    items: Sequence[PromptAndResponse],
    settings: FineTuneSettings,
    scratch: Path,
    *,
    n_processes: int = 1,
    sharded: bool = False,
    label: str = "tuning",
) -> Tuning:
    """Tune `model` in place; it is left plain, adapters merged, in evaluation mode, where it was.

    The same call goes on from the folder `scratch` after a kill and ends with the same weights. `n_processes`
    (GPUs, or CPU processes) share the items of a step; sharded: also model and optimizer (FSDP2). ValueError
    for a corpus that is smaller than a step, and for adapters of a sharded model; FloatingPointError for a
    loss that is not finite.
    """
    if sharded and settings.method == "lora":
        raise ValueError("adapters fit on one GPU: leave sharded false, or set the method to full")
    if settings.batch_size < n_processes:
        raise ValueError(f"batch_size {settings.batch_size} is below {n_processes} processes")
    corpus = tokenise(tokenizer, items, settings.max_tokens)
    if len(corpus) < settings.batch_size:
        raise ValueError(f"{len(corpus)} items make no step of {settings.batch_size}: lower batch_size")
    scratch.mkdir(parents=True, exist_ok=True)
    path = scratch / f"{_fingerprint(model, corpus, settings)}.safetensors"
    arguments = (corpus, settings, path, label)
    if n_processes == 1:
        history = _tune(model, *arguments)
    else:
        with tempfile.TemporaryDirectory(dir=scratch) as name:
            tuned, stored = Path(name) / "tuned.safetensors", ModelOnDisk(model, Path(name) / "model")
            ranks = run_in_processes(
                _tune_stored, stored, tuned, *arguments, sharded, n_processes=n_processes
            )
            history = ranks[0]
            model.load_state_dict(read_tensors(tuned)[0])
        model.eval()
    return Tuning(history, len(corpus), corpus.n_long)


def _tune_stored(stored: ModelOnDisk, tuned: Path, *arguments: Any) -> list[dict[str, float]]:
    """One rank: the model from disk, tuned with the others; the first writes the outcome."""
    model = stored.load()
    history = _tune(model, *arguments)
    weights = whole_state_dict(model)
    if os.environ["RANK"] == "0":
        write_tensors(tuned, weights)
    return history


def _tune(
    model: CausalLM,
    corpus: TuningTokens,
    settings: FineTuneSettings,
    path: Path,
    label: str,
    sharded: bool = False,
) -> list[dict[str, float]]:
    """All steps that are left, with the other processes if there are any; the history of all there were."""
    given = _arguments(path.parent, settings)
    with torch.random.fork_rng(), _prepared(model, None if sharded else given.device, settings):
        forward = ResponseLoss(model)
        if sharded:
            shard(forward, model, given.device, kept=set())
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        steps = Steps(corpus, settings, given.process_index, given.world_size)
        scheduler = get_scheduler(settings.schedule, optimizer, settings.warmup_steps, steps.total)
        checkpoint = RunCheckpoint(path, trained, optimizer, scheduler, writes=steps.rank == 0)
        found = checkpoint.load()
        steps.progress = found[0] if found else Progress()
        options = {"callbacks": [Journal(steps, checkpoint, label)], "optimizers": (optimizer, scheduler)}

        def run(size: float) -> None:
            given.gradient_accumulation_steps = steps.cut(size)
            TuningTrainer(forward, given, steps, sharded, **options).train()

        if steps.n_ranks > 1:  # the others would wait for what this one does again
            run(settings.micro_batch_size)
        else:
            within_memory("tuning", settings.micro_batch_size, "items", run)
        reshard(forward)
    if steps.rank == 0:
        checkpoint.remove()
    return steps.progress.history


def _arguments(folder: Path, settings: FineTuneSettings) -> TrainingArguments:
    """What the Trainer decides. It writes and reports nothing itself.

    Not the precision, which Accelerate would keep for whatever else runs in this process.
    """
    given = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,  # steps are counted over all passes
        max_grad_norm=settings.clip_norm,
        seed=settings.seed,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        ddp_find_unused_parameters=False,
    )
    given._n_gpu = min(given.n_gpu, 1)  # several GPUs take a process each, never DataParallel
    return given


@contextmanager
def _prepared(model: CausalLM, device: torch.device | None, settings: FineTuneSettings) -> Iterator[None]:
    """On the device, with what trains marked or adapters added; a plain model at its place at the end.

    Without a device it stays: sharding moves it layer by layer.
    """
    home, caches = next(model.parameters()).device, model.config.use_cache
    model.requires_grad_(True).to(device or home)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    lora = settings.method == "lora"
    try:
        with adapted(model, settings.lora, settings.seed) if lora else trained_in_float32(model):
            yield
    finally:
        if settings.gradient_checkpointing:
            model.gradient_checkpointing_disable()
        model.config.use_cache = caches  # which the Trainer sets
        model.zero_grad(set_to_none=True)
        if device is not None:
            model.to(home)
        model.eval()


def _fingerprint(model: CausalLM, corpus: TuningTokens, settings: FineTuneSettings) -> str:
    """SHA-256 over all that determines a run."""
    digest = hashlib.sha256(json.dumps([model_hash(model), settings.model_dump()], sort_keys=True).encode())
    for array in (corpus.tokens, corpus.starts, corpus.prompt_lengths):
        digest.update(array.tobytes())
    return digest.hexdigest()[:32]
