"""What a plan is made from: the parameters of a run, the shapes of its models, and what is there already."""

from __future__ import annotations

from pathlib import Path

from circuit_distillation import grid
from circuit_distillation.models import hub
from circuit_distillation.models.checkpoint_files import check_weights
from circuit_distillation.models.source import SMALL_FILES, WEIGHTS, ModelSource
from circuit_distillation.parameters.run import Parameters
from circuit_distillation.planning.plan import RoleTuning, Setting
from circuit_distillation.planning.shapes import KNOWN, shape_of
from circuit_distillation.tasks import get_task
from circuit_distillation.tasks.rows import read_rows
from circuit_distillation.tasks.words import SIGN

# Tokens from the position of a stage to the end of the prompt; elsewhere half of the prompt.
SUFFIX = {"last": 1, "query_label": 3}


def setting_of(run: Parameters) -> Setting:
    """What the plan is made from."""
    task, data, trained = run.task, run.data_generation, run.distillation
    discovery = getattr(run.circuit_discovery, task)
    stages = getattr(discovery, "stages", ())
    prompts = {split: data.n_prompts(task, split) for split in ("means", "mapping", "validation", "test")}
    steps = trained.epochs * (trained.n_train // (trained.batch_size * trained.bank_batches))
    tokens = _prompt_tokens(run)
    return Setting(
        shapes=_shapes(run),
        dtype=run.family.loading.dtype,
        tf32=run.family.loading.tf32,
        tuning={role: _tuning(run, role) for role in grid.ROLES},
        prompt_tokens=tokens,
        prompts=prompts | {"discovery": discovery.n_examples},
        stages=tuple((_receiver(stage), SUFFIX.get(stage.sender, tokens // 2)) for stage in stages),
        pruned=tuple(stage.n_heads for stage in stages),
        n_random=run.evaluation.n_random_circuits,
        n_random_row=run.evaluation.n_random_circuits_row,
        arms=grid.arms(),
        n_train=trained.n_train,
        steps=steps,
        batch_size=trained.batch_size,
        bank_batches=trained.bank_batches,
        processes=trained.processes,
        downloads=_downloads(run),
        head_share=getattr(run.head_mapping.fraction, task),
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


def _tuning(run: Parameters, role: str) -> RoleTuning:
    shared, settings = run.finetuning, run.finetuning.of_model(run.task, role)
    corpus = getattr(run.data_generation.corpus, run.task)
    return RoleTuning(
        settings,
        _n_items(corpus) * settings.epochs,
        *corpus.tokens,
        accumulates=settings.batch_size > settings.micro_batch_size * shared.processes,
        shards=shared.processes if shared.sharded else 1,
    )


def _n_items(corpus) -> int:
    """Items to tune on; with n_train null what the source has beside the held-out ones, at most."""
    if corpus.n_train is not None:
        return corpus.n_train
    if corpus.n_left is not None:
        return corpus.n_left
    return len(read_rows(Path(corpus.source.path).expanduser(), ())) - corpus.n_heldout


def _shapes(run: Parameters) -> dict:
    """From each model's configuration; the paper's models are known, so that a plan needs no access."""
    shapes = {}
    for role in grid.ROLES:
        files = getattr(run.family.models, role)
        if files.path is None and files.hub_id in KNOWN:
            shapes[role] = KNOWN[files.hub_id]
        else:
            shapes[role] = shape_of(ModelSource(**files.model_dump()).fetch(weights=False) / "config.json")
    return shapes


def _prompt_tokens(run: Parameters) -> int:
    """With Llama-3's tokenizer, BOS included: 5 and 7 a box; 120 of instruction, 75 of story and question."""
    options = run.data_generation.task_options
    if run.task == "entity":
        return 5 + 7 * options.entity.n_boxes  # type: ignore[attr-defined]
    if run.task == "tom":
        return 75 + (120 if options.tom.instruction == "full" else 0)  # type: ignore[attr-defined]
    words = getattr(options, run.task).model_dump()
    return 1 + len(SIGN.findall(get_task(run.task, **words).generate(1, 0)[0].prompt))  # about a token each


def _downloads(run: Parameters) -> tuple[str, ...]:
    """Models whose weights are neither in a folder of one's own nor in the hub's cache."""
    blocks = {"": run.family.models} | ({"instruct ": run.family.instruct} if grid.instruct() else {})
    wanted = {f"{kind}{role}": getattr(block, role) for kind, block in blocks.items() for role in grid.ROLES}
    return tuple(name for name, files in wanted.items() if files.path is None and not _cached(files))


def _cached(files) -> bool:
    folder = hub.cached(files.hub_id, files.revision, SMALL_FILES + WEIGHTS)
    if folder is None:
        return False
    try:
        check_weights(folder)
    except ValueError:  # configuration and tokenizer alone, or half of the weights
        return False
    return True
