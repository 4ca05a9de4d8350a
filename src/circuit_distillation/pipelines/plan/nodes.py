"""The plan of a run with loaded models, from its parameters; refused where it cannot fit."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from kedro.framework.cli.utils import KedroCliError

from circuit_distillation import grid
from circuit_distillation.parameters import validate
from circuit_distillation.parameters.resolve import unresolved
from circuit_distillation.parameters.run import Parameters
from circuit_distillation.tasks import get_task
from circuit_distillation.tasks.words import SIGN

log = logging.getLogger(__name__)
# Tokens of an item and of its response: GOAT 115 million tokens for 1,746,300 items, Alpaca measured on 5,000
# rows with Llama-3's tokenizer.
CORPUS_TOKENS = {"entity": (66.0, 45.0), "tom": (104.0, 60.0)}
# Tokens from the position of a stage to the end of the prompt; elsewhere half of the prompt.
SUFFIX = {"last": 1, "query_label": 3}


class CannotFitError(KedroCliError):
    """A run that would need more memory or disk than there is."""


def make_plan(parameters: dict[str, Any]) -> str:
    """The plan as text, also logged; `CannotFitError` names the stages and the parameters to change."""
    from circuit_distillation.planning.plan import faults, plan, to_text

    told = validate(unresolved(parameters))
    rows = plan(_setting(told))
    text = to_text(rows, told.machine.utilisation, told.machine.n_gpus)
    log.info("plan of %s, task %s\n%s", told.family.name, told.task, text)
    lines = faults(rows, 1e9 * told.machine.gpu_memory_gb, *_free(told.data_root))
    if lines:
        raise CannotFitError("the run cannot fit. " + "; ".join(lines))
    return text


def _setting(told: Parameters):
    from circuit_distillation.planning.plan import Setting

    task, data, trained = told.task, told.data_generation, told.distillation
    discovery = getattr(told.circuit_discovery, task)
    stages = getattr(discovery, "stages", ())
    prompts = {split: data.n_prompts(task, split) for split in ("means", "mapping", "validation", "test")}
    steps = trained.epochs * (trained.n_train // (trained.batch_size * trained.bank_batches))
    tokens = _prompt_tokens(told)
    return Setting(
        shapes=_shapes(told),
        dtype=told.family.loading.dtype,
        tf32=told.family.loading.tf32,
        tuning={role: _tuning(told, role) for role in grid.ROLES},
        prompt_tokens=tokens,
        prompts=prompts | {"discovery": discovery.n_examples},
        stages=tuple((_receiver(stage), SUFFIX.get(stage.sender, tokens // 2)) for stage in stages),
        pruned=tuple(stage.n_heads for stage in stages),
        n_random=told.evaluation.n_random_circuits,
        n_random_row=told.evaluation.n_random_circuits_row,
        arms=grid.arms(),
        n_train=trained.n_train,
        steps=steps,
        batch_size=trained.batch_size,
        bank_batches=trained.bank_batches,
        processes=trained.processes,
        downloads=_downloads(told),
        head_share=getattr(told.head_mapping.fraction, task),
        bf16=trained.precision == "bf16",
        recomputes=trained.gradient_checkpointing,
        looks=steps // trained.evaluate_every + 1,
        instruct=grid.instruct(),
        shards=trained.processes if trained.sharded else 1,
    )


def _receiver(stage) -> str:
    if not stage.receivers:
        return "logits"
    return "q" if stage.receiver_input == "q" else "kv"


def _tuning(told: Parameters, role: str):
    from circuit_distillation.planning.plan import Tuning

    shared, own = told.finetuning, getattr(told.finetuning, told.task)
    corpus = getattr(told.data_generation.corpus, told.task)
    tokens, responses = CORPUS_TOKENS.get(told.task, CORPUS_TOKENS["tom"])  # others: instructions too
    return Tuning(
        method=getattr(shared.method, role),
        n_items=_n_items(corpus) * own.epochs,
        mean_tokens=tokens,
        mean_responses=responses,
        max_tokens=own.max_tokens,
        micro_batch_size=shared.micro_batch_size,
        bf16=shared.precision == "bf16",
        recomputes=shared.gradient_checkpointing,
        accumulates=own.batch_size > shared.micro_batch_size * shared.processes,
        lora_rank=shared.lora.rank,
        lora_targets=shared.lora.targets,
        shards=shared.processes if shared.sharded else 1,
    )


def _n_items(corpus) -> int:
    """Items to tune on; with n_train null what the source has beside the held-out ones, at most."""
    from circuit_distillation.tasks.rows import read_rows

    if corpus.n_train is not None:
        return corpus.n_train
    if corpus.n_left is not None:
        return corpus.n_left
    return len(read_rows(Path(corpus.source.path).expanduser(), ())) - corpus.n_heldout


def _shapes(told: Parameters) -> dict:
    """From each model's configuration; the paper's models are known, so that a plan needs no access."""
    from circuit_distillation.models.source import ModelSource
    from circuit_distillation.planning.shapes import KNOWN, shape_of

    shapes = {}
    for role in grid.ROLES:
        files = getattr(told.family.models, role)
        if files.path is None and files.hub_id in KNOWN:
            shapes[role] = KNOWN[files.hub_id]
        else:
            shapes[role] = shape_of(ModelSource(**files.model_dump()).fetch(weights=False) / "config.json")
    return shapes


def _prompt_tokens(told: Parameters) -> int:
    """With Llama-3's tokenizer, BOS included: 5 and 7 a box; 120 of instruction, 75 of story and question."""
    options = told.data_generation.task_options
    if told.task == "entity":
        return 5 + 7 * options.entity.n_boxes  # type: ignore[attr-defined]
    if told.task == "tom":
        return 75 + (120 if options.tom.instruction == "full" else 0)  # type: ignore[attr-defined]
    words = getattr(options, told.task).model_dump()
    return 1 + len(SIGN.findall(get_task(told.task, **words).generate(1, 0)[0].prompt))  # about a token each


def _downloads(told: Parameters) -> tuple[str, ...]:
    """Models whose weights are neither in a folder of one's own nor in the hub's cache."""
    blocks = {"": told.family.models} | ({"instruct ": told.family.instruct} if grid.instruct() else {})
    wanted = {f"{kind}{role}": getattr(block, role) for kind, block in blocks.items() for role in grid.ROLES}
    return tuple(name for name, files in wanted.items() if files.path is None and not _cached(files))


def _cached(files) -> bool:
    from circuit_distillation.models import hub
    from circuit_distillation.models.checkpoint_files import check_weights
    from circuit_distillation.models.source import SMALL_FILES, WEIGHTS

    folder = hub.cached(files.hub_id, files.revision, SMALL_FILES + WEIGHTS)
    if folder is None:
        return False
    try:
        check_weights(folder)
    except ValueError:  # configuration and tokenizer alone, or half of the weights
        return False
    return True


def _free(data_root: str) -> tuple[float, float | None]:
    """Bytes free for the data folder and for the hub's cache; None for this where they share a disk."""
    from huggingface_hub.constants import HF_HUB_CACHE

    data, cache = _existing(data_root), _existing(HF_HUB_CACHE)
    shared = data.stat().st_dev == cache.stat().st_dev
    return shutil.disk_usage(data).free, None if shared else shutil.disk_usage(cache).free


def _existing(folder: str) -> Path:
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    return place
