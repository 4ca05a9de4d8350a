"""A row for every stage of a run with loaded models: memory of one GPU, work, hours, disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from circuit_distillation import grid
from circuit_distillation.arms import ARMS
from circuit_distillation.circuits.settings import Stage
from circuit_distillation.models.settings import Loading
from circuit_distillation.parameters.distillation import Distillation
from circuit_distillation.parameters.models import FineTuning
from circuit_distillation.parameters.run import Parameters
from circuit_distillation.planning.memory import BYTES, Batch, inference_bytes, training_bytes
from circuit_distillation.planning.shapes import Shape
from circuit_distillation.planning.work import ablation_flops, forward_flops, patching_flops, training_flops
from circuit_distillation.tasks import get_task
from circuit_distillation.tasks.rows import read_rows
from circuit_distillation.tasks.words import SIGN

# Dense peaks in FLOP/s by the vendor's data sheets (SXM parts): bf16, TF32, float32.
PEAKS = {
    "A100": {"bf16": 312e12, "tf32": 156e12, "fp32": 19.5e12},
    "H100": {"bf16": 989e12, "tf32": 494e12, "fp32": 67e12},
    "H200": {"bf16": 989e12, "tf32": 494e12, "fp32": 67e12},
}
# Tokens from the position of a stage to the end of the prompt; elsewhere half of the prompt.
SUFFIX = {"last": 1, "query_label": 3}
HALVE = (
    "distillation.gradient_checkpointing=true, distillation.batch_size halved with distillation.bank_batches "
    "doubled"
)
SHARD = ", or distillation.processes with distillation.sharded=true"
SMALLER = "family.loading.dtype=bfloat16, or smaller models"


@dataclass(frozen=True)
class Row:
    """Needs of one stage, in bytes.

    precision: of its matrix products. remedy: the parameters that lower its memory. disk: what it leaves in
    the data folder. passing: checkpoints there until it ends, a new one beside the last. cache: what it
    leaves in the hub's cache.
    """

    stage: str
    memory: float
    flops: float
    precision: str
    remedy: str
    disk: float = 0.0
    passing: float = 0.0
    cache: float = 0.0

    def hours(self, gpu: str, utilisation: float, n_gpus: int = 1) -> float:
        """At a share of the peak of `n_gpus` GPUs."""
        return self.flops / (PEAKS[gpu][self.precision] * utilisation * n_gpus) / 3600


def plan(run: Parameters, shapes: Mapping[str, Shape], downloads: Iterable[str] = ()) -> list[Row]:
    """The stages of a run in their order. `shapes` are by role; `downloads` name models whose weights are not
    here yet, such as "instruct large".
    """
    t = prompt_tokens(run)
    return [
        *(_download(name, shapes[name.split()[-1]]) for name in downloads),
        *_tuning(run, shapes),
        *_searches(run, shapes, t),
        *_signals(run, shapes[grid.TEACHER], t),
        *_students(run, shapes, t),
        _predictions(run, shapes, t),
    ]


def prompt_tokens(run: Parameters) -> int:
    """With Llama-3's tokenizer, BOS included: 5 and 7 a box; 120 of instruction, 75 of story and question."""
    options = getattr(run.data_generation.task_options, run.task)
    if run.task == "entity":
        return 5 + 7 * options.n_boxes
    if run.task == "tom":
        return 75 + (120 if options.instruction == "full" else 0)
    prompt = get_task(run.task, **options.model_dump()).generate(1, 0)[0].prompt
    return 1 + len(SIGN.findall(prompt))  # about a token each


def n_items(run: Parameters) -> int:
    """Items to tune on; with n_train null what the source has beside the held-out ones, at most."""
    corpus = getattr(run.data_generation.corpus, run.task)
    if corpus.n_train is not None:
        return corpus.n_train
    if corpus.n_left is not None:
        return corpus.n_left
    return len(read_rows(Path(corpus.source.path).expanduser(), ())) - corpus.n_heldout


def _n_prompts(run: Parameters, split: str) -> int:
    return run.data_generation.n_prompts(run.task, split)


def _corpus_tokens(run: Parameters) -> tuple[float, float]:
    return getattr(run.data_generation.corpus, run.task).tokens


def _download(name: str, shape: Shape) -> Row:
    return Row(f"download {name}", 0.0, 0.0, "bf16", "", cache=2.0 * shape.parameters)


def _loading(run: Parameters) -> Loading:
    assert run.family.loading is not None, "only runs with loaded models are planned"
    return run.family.loading


def _inference(run: Parameters, stage: str, shape: Shape, flops: float, disk: float = 0.0) -> Row:
    """A stage of forwards and sweeps alone."""
    loading = _loading(run)
    precision = "bf16" if BYTES[loading.dtype] == 2 else "tf32" if loading.tf32 else "fp32"
    return Row(stage, inference_bytes(shape, loading.dtype), flops, precision, SMALLER, disk)


def _training(
    run: Parameters,
    block: FineTuning | Distillation,
    stage: str,
    shape: Shape,
    trained: int,
    batch: Batch,
    n_tokens: float,
    *,
    accumulates: bool,
    remedy: str,
    looks: float = 0.0,
) -> Row:
    """A stage that trains by the settings of `block`; `looks` is the work beside its steps."""
    dtype, bf16 = _loading(run).dtype, block.precision == "bf16"
    recomputes, trains_all = block.gradient_checkpointing, trained == shape.parameters
    memory = training_bytes(
        shape,
        trained,
        batch,
        dtype=dtype,
        bf16=bf16,
        recomputes=recomputes,
        accumulates=accumulates,
        shards=block.processes if block.sharded else 1,
    )
    flops = looks + training_flops(shape, n_tokens, trains_all=trains_all, recomputes=recomputes)
    passing = 2 * 12.0 * trained  # weights with both moments, float32
    precision = "bf16" if bf16 else "fp32"
    return Row(stage, memory, flops, precision, remedy, BYTES[dtype] * shape.parameters, passing)


def _tuning(run: Parameters, shapes: Mapping[str, Shape]) -> Iterator[Row]:
    shared, own = run.finetuning, getattr(run.finetuning, run.task)
    assert shared is not None, "loaded models are tuned"
    tokens, responses = _corpus_tokens(run)
    n_unembedded = int(shared.micro_batch_size * own.max_tokens * responses / tokens)
    batch = Batch(shared.micro_batch_size, own.max_tokens, n_unembedded)
    n_tokens = n_items(run) * own.epochs * tokens
    for role, shape in shapes.items():
        method = shared.method.of(role)
        trained = shape.lora_parameters(shared.lora.rank, shared.lora.targets)
        remedy = "finetuning.micro_batch_size down, finetuning.gradient_checkpointing=true"
        if method == "full":
            trained = shape.parameters
            remedy = f"finetuning.method.{role}=lora, or finetuning.processes with finetuning.sharded=true"
        several = own.batch_size > shared.micro_batch_size * shared.processes
        stage = f"tune {role} ({method})"
        needs = run, shared, stage, shape, trained, batch, n_tokens
        yield _training(*needs, accumulates=several, remedy=remedy)


def _searches(run: Parameters, shapes: Mapping[str, Shape], t: int) -> Iterator[Row]:
    found = getattr(run.circuit_discovery, run.task)
    n_forwards = _n_prompts(run, "means")
    n_forwards += _n_prompts(run, "test") * (2 + run.evaluation.n_random_circuits)
    for role, kind in grid.searched():
        shape = shapes[role]
        one, ablated = forward_flops(shape, t), ablation_flops(shape, t)
        stages = getattr(found, "stages", ())
        sweep = sum(
            patching_flops(shape, t, _receiver(stage), SUFFIX.get(stage.sender, t // 2))
            + one * (stage.n_heads * (stage.n_heads + 1) // 2)  # pruned
            for stage in stages
        )
        flops = found.n_examples * (sweep if stages else ablated) + one * n_forwards
        # The mapping compares base students and the tuned teacher.
        if (kind, role == grid.TEACHER) in (("base", False), ("tuned", True)):
            flops += _n_prompts(run, "mapping") * ablated
        yield _inference(run, f"circuit of {kind} {role}", shape, flops)


def _receiver(stage: Stage) -> str:
    if not stage.receivers:
        return "logits"
    return "q" if stage.receiver_input == "q" else "kv"


def _signals(run: Parameters, teacher: Shape, t: int) -> Iterator[Row]:
    n = run.distillation.n_train
    stored = n * teacher.n_layers * (teacher.n_heads * teacher.d_head + teacher.d_model) * 4.0
    read: dict[str, float] = {"teacher's signals": t}
    if any(ARMS[arm].data == "corpus" for arm in grid.arms()):
        read["teacher's signals on the corpus"] = _corpus_tokens(run)[0]
    for stage, n_tokens in read.items():
        yield _inference(run, stage, teacher, n * forward_flops(teacher, n_tokens), stored)


def _students(run: Parameters, shapes: Mapping[str, Shape], t: int) -> Iterator[Row]:
    how, share = run.distillation, getattr(run.head_mapping.fraction, run.task)
    steps = how.epochs * (how.n_train // (how.batch_size * how.bank_batches))
    n_tokens = steps * how.batch_size * how.bank_batches * t
    n_looked_at = (steps // how.evaluate_every + 1) * _n_prompts(run, "validation")
    own = how.batch_size // how.processes
    for role, arm in grid.cells():
        shape, full = shapes[role], ARMS[arm].trained == "all"
        trained = shape.parameters if full else shape.head_parameters(share)
        looks = n_looked_at * forward_flops(shape, t)
        if how.bank_batches > 1 and ARMS[arm].pairs != "none":
            looks += 2 * shape.parameters * n_tokens  # at the bank's rows, without gradient
        remedy, several = HALVE + SHARD if full else HALVE, how.bank_batches > 1
        needs = run, how, f"{role}.{arm}", shape, trained, Batch(own, t, own), n_tokens
        yield _training(*needs, accumulates=several, remedy=remedy, looks=looks)


def _predictions(run: Parameters, shapes: Mapping[str, Shape], t: int) -> Row:
    """Of every row of the tables."""
    per_model = _n_prompts(run, "test") * (2 + run.evaluation.n_random_circuits_row)
    flops = per_model * sum(forward_flops(shapes[role], t) for role, _ in grid.measured())
    return _inference(run, "predictions", shapes[grid.TEACHER], flops)


def faults(
    rows: list[Row], gpu_memory: float, free_disk: float, free_cache: float | None = None
) -> list[str]:
    """Why a run cannot fit, one line a stage with the parameters to change; nothing if it can. In bytes.

    free_cache: free for the hub's cache; None: it is on the data folder's disk.
    """
    lines = [
        f"{row.stage} needs {row.memory / 1e9:.0f} GB, machine.gpu_memory_gb is {gpu_memory / 1e9:.0f}: "
        f"{row.remedy}"
        for row in rows
        if row.memory > gpu_memory
    ]
    cache = sum(row.cache for row in rows)
    data = _disk(rows) + (cache if free_cache is None else 0)
    needs = [("the run needs up to", data, free_disk, "data_root to a larger disk, or " + SMALLER)]
    needs += [] if free_cache is None else [("downloads need", cache, free_cache, "HF_HOME to a larger disk")]
    lines += [
        f"{what} {needed / 1e9:.0f} GB of disk, {free / 1e9:.0f} GB are free: set {remedy}"
        for what, needed, free, remedy in needs
        if needed > free
    ]
    return lines


def _disk(rows: list[Row]) -> float:
    """Of the data folder at the most: checkpoints that pass are there one stage at a time."""
    return sum(row.disk for row in rows) + max(row.passing for row in rows)


def to_text(rows: list[Row], utilisation: float, n_gpus: int) -> str:
    """The plan as a Markdown table with totals."""
    head = "| stage | memory, GB | PFLOP | " + " | ".join(f"hours, {gpu}" for gpu in PEAKS) + " | disk, GB |"
    lines = [head, "|:---|" + "---:|" * (3 + len(PEAKS))]

    def add(stage: str, part: list[Row], disk: float, decimals: int) -> None:
        hours = (sum(row.hours(gpu, utilisation, n_gpus) for row in part) for gpu in PEAKS)
        numbers = [f"{max(row.memory for row in part) / 1e9:.1f}"]
        numbers += [f"{sum(row.flops for row in part) / 1e15:.1f}"]
        numbers += [*(f"{value:.{decimals}f}" for value in hours), f"{disk / 1e9:.1f}"]
        lines.append(f"| {' | '.join([stage, *numbers])} |")

    for row in rows:
        add(row.stage, [row], row.disk + row.passing + row.cache, 2)
    add("all", rows, _disk(rows) + sum(row.cache for row in rows), 1)
    return "\n".join(lines)
