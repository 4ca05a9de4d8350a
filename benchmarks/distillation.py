"""Cost of a distillation step: circuit arms against full, stored teacher against live, CKA against none.

    python -m benchmarks.distillation

The students have the shapes of Llama-3.2-1B and 3B, the teacher that of Llama-3.1-8B, with every width and
the vocabulary divided by 8 (4 for memory, where activations would otherwise hide the weights), so that
layers, heads and the ratio of teacher to student stay. Random weights; 11 % of the student's heads, drawn
over all layers, are the circuit. Steps are those of `training.distill`, in CPU seconds of its one thread
(wall seconds on an idle machine); arms take turns, and ratios are of medians. Peak memory is that of a
process of its own for each arm: the weights and what PyTorch allocates beside them. Writes
results/distillation.csv and .md beside this file.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from circuit_distillation.arms import ARMS  # noqa: E402
from circuit_distillation.models.architecture import architecture  # noqa: E402
from circuit_distillation.models.encoding import Encoded  # noqa: E402
from circuit_distillation.training.arm_settings import arm_settings  # noqa: E402
from circuit_distillation.training.distill import distill  # noqa: E402
from circuit_distillation.training.features import RecordedFeatures  # noqa: E402
from circuit_distillation.training.teacher_cache import TeacherSignals, data_hash  # noqa: E402

TIME_SCALE, MEMORY_SCALE, VOCABULARY = 8, 4, 128_256
SHAPES = {  # layers, width, MLP width, query heads, key/value heads
    "1B": (16, 2048, 8192, 32, 8),
    "3B": (28, 3072, 8192, 24, 8),
    "8B": (32, 4096, 14336, 32, 8),
}
BATCH, TOKENS, SHARE = 8, 75, 0.11
TURNS, STEPS = 3, 4  # of a turn, neither the first step (it allocates) nor the last (it validates) counts
TIMED = ("full_ce", "circuit_ce", "circuit_ce_align_cka")
RESULTS = Path(__file__).parent / "results"


def build(shape: str, scale: int, seed: int) -> LlamaForCausalLM:
    layers, width, mlp, heads, kv_heads = SHAPES[shape]
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY // scale,
        hidden_size=width // scale,
        intermediate_size=mlp // scale,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=width // heads // scale,
        max_position_embeddings=256,
        tie_word_embeddings=shape != "8B",
    )
    return LlamaForCausalLM(config).eval()


def draw_heads(model, n: int, seed: int) -> list[tuple[int, int]]:
    shape = architecture(model)
    drawn = torch.randperm(shape.n_total_heads, generator=torch.Generator().manual_seed(seed))[:n].tolist()
    return sorted(divmod(i, shape.n_heads) for i in drawn)


def prompts(n: int, scale: int) -> Encoded:
    ids = torch.randint(VOCABULARY // scale, (n, TOKENS), generator=torch.Generator().manual_seed(0))
    last = torch.full((n,), TOKENS - 1)
    return Encoded(ids, torch.ones_like(ids), {"last": last}, ids[:, 0], ids[:, :2])


def run_arm(arm: str, student, splits, heads, pairs) -> list[float]:
    """CPU seconds of the counted steps of one turn."""
    options = dict(epochs=1, batch_size=BATCH, evaluate_every=10**6, warmup_steps=0)
    clock = []
    distill(
        student,
        *splits,
        settings=arm_settings(ARMS[arm], options, seed=0),
        heads=heads,
        pairs=pairs,
        on_step=lambda row: clock.append(time.process_time()),
        progress_bar=False,
    )
    # The last step ends with a validation; leave it out.
    return [after - before for before, after in zip(clock[:-2], clock[1:-1])]


def time_teacher(teacher, batch: Encoded, sites) -> list[float]:
    """Seconds of the forward that a live teacher adds to a step: labels and activations of one batch."""
    seconds = []
    with torch.no_grad(), RecordedFeatures(teacher, sites) as recorded:
        for _ in range(STEPS):
            started = time.process_time()
            hidden = teacher.model(input_ids=batch.input_ids, use_cache=False).last_hidden_state
            teacher.lm_head(hidden[:, -1]).argmax(-1)
            recorded.at(batch.positions["last"][:, None])
            seconds.append(time.process_time() - started)
    return seconds[1:]


def case(shape: str, scale: int):
    """Student, splits and signals, heads and pairs. Random signals cost what real ones do."""
    student = build(shape, scale, seed=0)
    heads = draw_heads(student, round(SHARE * architecture(student).n_total_heads), seed=0)
    layers, width, _, n_heads, _ = SHAPES["8B"]
    sites = [(i % layers, i % n_heads) for i in range(len(heads))]
    train = prompts(BATCH * STEPS, scale)
    features = {site: torch.randn(len(train.input_ids), 1, width // n_heads // scale) for site in sites}
    signals = TeacherSignals(train.answer_ids, None, features, "last", "random", data_hash(train, "last"))
    return student, (train, prompts(2, scale), signals), heads, list(zip(heads, sites, strict=True))


def time_shape(shape: str) -> dict[str, list[float]]:
    student, splits, heads, pairs = case(shape, TIME_SCALE)
    teacher, batch = build("8B", TIME_SCALE, seed=1), prompts(BATCH, TIME_SCALE)
    seconds: dict[str, list[float]] = {name: [] for name in (*TIMED, "teacher")}
    for _ in range(TURNS):
        for arm in TIMED:
            seconds[arm] += run_arm(arm, student, splits, heads, pairs)
        seconds["teacher"] += time_teacher(teacher, batch, [site for _, site in pairs])
    return seconds


def measure_memory(shape: str, arm: str) -> float:
    """Peak MiB of weights, gradients, moments and activations while an arm trains, by the allocator's record.

    Not the resident set of the process: what the system swaps out or has mapped before would count otherwise.
    """
    student, *rest = case(shape, MEMORY_SCALE)
    live = peak = sum(parameter.nbytes for parameter in student.parameters())
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run_arm(arm, student, *rest)
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak / 2**20


def peak_of(shape: str, arm: str) -> float:
    command = [sys.executable, "-m", "benchmarks.distillation", shape, arm]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def rows_of(shape: str) -> list[dict[str, object]]:
    """One row an arm: seconds a step, with stored signals and with a live teacher; peak memory."""
    seconds = {name: median(values) for name, values in time_shape(shape).items()}
    return [
        {
            "student": shape,
            "arm": arm,
            "seconds_cached": round(seconds[arm], 4),
            "seconds_live": round(seconds[arm] + seconds["teacher"], 4),
            "tokens_per_second_cached": round(BATCH * TOKENS / seconds[arm]),
            "peak_mib": round(peak_of(shape, arm)),
        }
        for arm in TIMED
    ]


def ratios_of(rows: pd.DataFrame) -> list[tuple[str, float, float]]:
    """(what, ratio, bar) of one student."""
    table = rows.set_index("arm")
    cached, live, peak = table["seconds_cached"], table["seconds_live"], table["peak_mib"]
    most = max(peak[arm] for arm in TIMED if ARMS[arm].trained == "heads")
    return [
        (
            "circuit_ce_align_cka step / circuit_ce step",
            cached["circuit_ce_align_cka"] / cached["circuit_ce"],
            1.15,
        ),
        ("circuit_ce step / full_ce step", cached["circuit_ce"] / cached["full_ce"], 0.75),
        (
            "circuit_ce_align_cka step, cached / live teacher",
            cached["circuit_ce_align_cka"] / live["circuit_ce_align_cka"],
            0.5,
        ),
        ("peak memory of circuit arms (the largest) / full_ce", most / peak["full_ce"], 0.6),
    ]


def report(table: pd.DataFrame) -> str:
    lines = [
        "# Cost of a distillation step",
        "",
        "Shapes of Llama-3.2-1B and 3B (students) and Llama-3.1-8B (teacher) with random weights, widths and",
        f"vocabulary divided by {TIME_SCALE} for time and by {MEMORY_SCALE} for memory; {BATCH} prompts of",
        f"{TOKENS} tokens a step, float32, {100 * SHARE:.0f} % of the student's heads drawn over all layers.",
        f"Medians of the CPU seconds of {TURNS * (STEPS - 2)} steps, arms in turns;",
        f"torch {torch.__version__},",
        f"{torch.get_num_threads()} thread, {platform.machine()} CPU.",
        "Made by `python -m benchmarks.distillation`.",
        "",
        "| student | what | ratio | bar | met |",
        "|---|---|---|---|---|",
    ]
    for student, rows in table.groupby("student"):
        for what, ratio, bar in ratios_of(rows):
            lines.append(f"| {student} | {what} | {ratio:.2f} | {bar} | {'yes' if ratio <= bar else 'no'} |")
    lines += ["", "| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(str(value) for value in row) + " |" for row in table.itertuples(index=False)]
    return "\n".join(lines) + "\n"


def main() -> None:
    torch.set_num_threads(1)
    if len(sys.argv) == 3:
        print(json.dumps(measure_memory(*sys.argv[1:])))
        return
    rows: list[dict[str, object]] = []
    RESULTS.mkdir(exist_ok=True)
    for shape in ("1B", "3B"):
        rows += rows_of(shape)
        table = pd.DataFrame(rows)
        table.to_csv(RESULTS / "distillation.csv", index=False)
        (RESULTS / "distillation.md").write_text(report(table))
    print(report(table))


if __name__ == "__main__":
    main()
