"""A row for every stage of a run: memory of one GPU, work, hours on three GPUs, disk; and whether it fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from circuit_distillation.arms import ARMS
from circuit_distillation.planning.memory import BYTES, Batch, inference_bytes, training_bytes
from circuit_distillation.planning.shapes import Shape
from circuit_distillation.planning.work import ablation_flops, forward_flops, patching_flops, training_flops

# Dense peaks in FLOP/s by the vendor's data sheets (SXM parts): bf16, TF32, float32.
PEAKS = {
    "A100": {"bf16": 312e12, "tf32": 156e12, "fp32": 19.5e12},
    "H100": {"bf16": 989e12, "tf32": 494e12, "fp32": 67e12},
    "H200": {"bf16": 989e12, "tf32": 494e12, "fp32": 67e12},
}


@dataclass(frozen=True)
class Tuning:
    """How a role is tuned, in numbers; `mean_tokens` and `mean_responses` an item."""

    method: str  # "full" or "lora"
    n_items: int
    mean_tokens: float
    mean_responses: float
    max_tokens: int
    micro_batch_size: int
    bf16: bool
    recomputes: bool
    accumulates: bool  # a step takes several forwards
    lora_rank: int
    lora_targets: tuple[str, ...]
    shards: int = 1


@dataclass(frozen=True)
class Setting:
    """What a plan is made from. Prompts are counted by split, tokens by prompt, trained heads as a share."""

    shapes: Mapping[str, Shape]  # small, medium, large
    dtype: str
    tf32: bool
    tuning: Mapping[str, Tuning]  # by role
    prompt_tokens: int
    prompts: Mapping[str, int]  # discovery, means, mapping, validation, test
    stages: tuple[tuple[str, int], ...]  # path patching: (receiver, suffix tokens); empty: ablation alone
    pruned: tuple[int, ...]  # heads of each stage that pruning looks at
    n_random: int  # random circuits beside a discovered one
    n_random_row: int  # and beside a row of the tables
    arms: tuple[str, ...]
    n_train: int
    steps: int
    batch_size: int  # of one batch, which the processes share; a step takes `bank_batches` of them
    head_share: float
    bf16: bool
    recomputes: bool
    looks: int  # at the validation split
    instruct: bool = False  # whether instruction-tuned models of the same shapes are measured
    shards: int = 1
    bank_batches: int = 1
    processes: int = 1
    downloads: tuple[str, ...] = ("small", "medium", "large")  # "instruct large": models not here yet


@dataclass(frozen=True)
class Row:
    """Needs of one stage, in bytes.

    disk: what it leaves in the data folder. passing: checkpoints there until it ends, a new one beside the
    last. cache: what it leaves in the hub's cache.
    """

    stage: str
    memory: float
    flops: float
    precision: str  # of its matrix products
    disk: float
    remedy: str  # the parameters that lower its memory
    passing: float = 0.0
    cache: float = 0.0

    def hours(self, gpu: str, utilisation: float, n_gpus: int = 1) -> float:
        """At a share of the peak of `n_gpus` GPUs."""
        return self.flops / (PEAKS[gpu][self.precision] * utilisation * n_gpus) / 3600


def plan(setting: Setting) -> list[Row]:
    """The stages of a run in their order."""
    return [
        *_base_rows(setting),
        *_tuning_rows(setting),
        *_discovery_rows(setting),
        *_distillation_rows(setting),
        _table_row(setting),
    ]


def _sweep_precision(setting: Setting) -> str:
    if BYTES[setting.dtype] == 2:
        return "bf16"
    return "tf32" if setting.tf32 else "fp32"


def _base_rows(setting: Setting) -> Iterator[Row]:
    for name in setting.downloads:
        size = 2.0 * setting.shapes[name.split()[-1]].parameters
        yield Row(f"download {name}", 0.0, 0.0, "bf16", 0.0, "", cache=size)


def _tuning_rows(setting: Setting) -> Iterator[Row]:
    for role, tuning in setting.tuning.items():
        shape = setting.shapes[role]
        full = tuning.method == "full"
        trained = shape.parameters if full else shape.lora_parameters(tuning.lora_rank, tuning.lora_targets)
        unembedded = int(
            tuning.micro_batch_size * tuning.max_tokens * tuning.mean_responses / tuning.mean_tokens
        )
        batch = Batch(tuning.micro_batch_size, tuning.max_tokens, unembedded)
        memory = training_bytes(
            shape,
            trained,
            batch,
            dtype=setting.dtype,
            bf16=tuning.bf16,
            recomputes=tuning.recomputes,
            accumulates=tuning.accumulates,
            shards=tuning.shards,
        )
        flops = training_flops(
            shape,
            tuning.n_items * tuning.mean_tokens,
            trains="all" if full else "few",
            recomputes=tuning.recomputes,
        )
        stored = BYTES[setting.dtype] * shape.parameters
        remedy = "finetuning.micro_batch_size down, finetuning.gradient_checkpointing=true"
        if full:
            remedy = f"finetuning.method.{role}=lora, or finetuning.processes with finetuning.sharded=true"
        precision = "bf16" if tuning.bf16 else "fp32"
        stage = f"tune {role} ({tuning.method})"
        yield Row(stage, memory, flops, precision, stored, remedy, passing=_checkpoints(trained))


def _checkpoints(trained: int) -> float:
    """Trained weights with both moments, float32, twice: a new checkpoint is written beside the last."""
    return 2 * 12.0 * trained


def _discovery_rows(setting: Setting) -> Iterator[Row]:
    searched = [(kind, role) for kind in ("base", "tuned") for role in setting.shapes]
    for kind, role in [*searched, ("instruct", "large")] if setting.instruct else searched:
        shape, t = setting.shapes[role], setting.prompt_tokens
        one = forward_flops(shape, t)
        n, n_means = setting.prompts["discovery"], setting.prompts["means"]
        sweep = n * sum(patching_flops(shape, t, to, suffix) for to, suffix in setting.stages)
        sweep += n * one * sum(size * (size + 1) // 2 for size in setting.pruned)
        if not setting.stages:
            sweep += n * ablation_flops(shape, t)
        sweep += one * (n_means + setting.prompts["test"] * (2 + setting.n_random))
        # The mapping compares base students and the tuned teacher.
        if (kind, role == "large") in (("base", False), ("tuned", True)):
            sweep += setting.prompts["mapping"] * ablation_flops(shape, t)
        memory = inference_bytes(shape, setting.dtype)
        remedy = "family.loading.dtype=bfloat16, or smaller models"
        yield Row(f"circuit of {kind} {role}", memory, sweep, _sweep_precision(setting), 0.0, remedy)


def _distillation_rows(setting: Setting) -> Iterator[Row]:
    teacher, t = setting.shapes["large"], setting.prompt_tokens
    signals = setting.n_train * teacher.n_layers * (teacher.n_heads * teacher.d_head + teacher.d_model) * 4.0
    memory = inference_bytes(teacher, setting.dtype)
    remedy = "family.loading.dtype=bfloat16, or smaller models"
    read: dict[str, float] = {"teacher's signals": t}
    if any(ARMS[arm].data == "corpus" for arm in setting.arms):
        read["teacher's signals on the corpus"] = setting.tuning["large"].mean_tokens
    for stage, n_tokens in read.items():
        work = setting.n_train * forward_flops(teacher, n_tokens)
        yield Row(stage, memory, work, _sweep_precision(setting), signals, remedy)
    share = setting.batch_size // setting.processes
    n_tokens = setting.steps * setting.batch_size * setting.bank_batches * t
    looks = setting.looks * setting.prompts["validation"]
    for role in ("small", "medium"):
        shape = setting.shapes[role]
        for arm in setting.arms:
            full = ARMS[arm].trained == "all"
            trained = shape.parameters if full else shape.head_parameters(setting.head_share)
            memory = training_bytes(
                shape,
                trained,
                Batch(share, t, share),
                dtype=setting.dtype,
                bf16=setting.bf16,
                recomputes=setting.recomputes,
                accumulates=setting.bank_batches > 1,
                shards=setting.shards,
            )
            flops = training_flops(
                shape, n_tokens, trains="all" if full else "few", recomputes=setting.recomputes
            )
            if setting.bank_batches > 1 and ARMS[arm].pairs != "none":
                flops += 2 * shape.parameters * n_tokens  # the bank's rows, without gradient
            flops += looks * forward_flops(shape, t)
            disk = BYTES[setting.dtype] * shape.parameters
            remedy = (
                "distillation.gradient_checkpointing=true, distillation.batch_size halved with "
                "distillation.bank_batches doubled"
            )
            if full:
                remedy += ", or distillation.processes with distillation.sharded=true"
            precision, kept = "bf16" if setting.bf16 else "fp32", _checkpoints(trained)
            yield Row(f"{role}.{arm}", memory, flops, precision, disk, remedy, passing=kept)


def _table_row(setting: Setting) -> Row:
    """Predictions of every row of the tables: all references and every student."""
    t, per_model = setting.prompt_tokens, setting.prompts["test"] * (2 + setting.n_random_row)
    n_kinds = 3 if setting.instruct else 2
    work = sum(n_kinds * forward_flops(shape, t) for shape in setting.shapes.values())
    work += sum(len(setting.arms) * forward_flops(setting.shapes[role], t) for role in ("small", "medium"))
    memory = inference_bytes(setting.shapes["large"], setting.dtype)
    remedy = "family.loading.dtype=bfloat16, or smaller models"
    return Row("predictions", memory, per_model * work, _sweep_precision(setting), 0.0, remedy)


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
    disk, cache = _disk(rows), sum(row.cache for row in rows)
    if free_cache is None:
        disk += cache
    elif cache > free_cache:
        lines.append(
            f"downloads need {cache / 1e9:.0f} GB of disk, {free_cache / 1e9:.0f} GB are free: set "
            "HF_HOME to a larger disk"
        )
    if disk > free_disk:
        lines.append(
            f"the run needs up to {disk / 1e9:.0f} GB of disk, {free_disk / 1e9:.0f} GB are free: set "
            "data_root to a larger disk, or family.loading.dtype=bfloat16"
        )
    return lines


def _disk(rows: list[Row]) -> float:
    """Of the data folder at the most: checkpoints that pass are there one stage at a time."""
    kept = sum(row.disk for row in rows)
    return kept + max(row.passing for row in rows)


def to_text(rows: list[Row], utilisation: float, n_gpus: int) -> str:
    """The plan as a Markdown table with totals."""
    head = "| stage | memory, GB | PFLOP | " + " | ".join(f"hours, {gpu}" for gpu in PEAKS) + " | disk, GB |"
    lines = [head, "|:---|" + "---:|" * (3 + len(PEAKS))]
    for row in rows:
        hours = " | ".join(f"{row.hours(gpu, utilisation, n_gpus):.2f}" for gpu in PEAKS)
        lines.append(
            f"| {row.stage} | {row.memory / 1e9:.1f} | {row.flops / 1e15:.1f} | {hours} "
            f"| {(row.disk + row.passing + row.cache) / 1e9:.1f} |"
        )
    total = " | ".join(f"{sum(row.hours(gpu, utilisation, n_gpus) for row in rows):.1f}" for gpu in PEAKS)
    peak, flops = max(row.memory for row in rows), sum(row.flops for row in rows)
    disk = _disk(rows) + sum(row.cache for row in rows)
    lines.append(f"| all | {peak / 1e9:.1f} | {flops / 1e15:.1f} | {total} | {disk / 1e9:.1f} |")
    return "\n".join(lines)
