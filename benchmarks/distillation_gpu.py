"""Tokens per second and peak memory of every arm at full size: a 3B student, an 8B teacher, one GPU.

    python -m benchmarks.distillation_gpu                                        # shapes of 3.2-3B and 3.1-8B
    python -m benchmarks.distillation_gpu --student 1B --scale 64 --device cpu   # a rehearsal without a GPU

Random weights: the student's in float32 under bfloat16 autocast, the teacher's in bfloat16. Arms train with
stored signals and with a live teacher, whose forward on the batch then counts and whose weights stay on the
device. Writes results/distillation_{device}.md; peak memory is that of the CUDA allocator (on a CPU: none).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from statistics import median

import torch

from benchmarks import distillation as shapes
from benchmarks.setting import RESULTS, machine
from circuit_distillation.arms import ARMS
from circuit_distillation.models.architecture import architecture
from circuit_distillation.models.encoding import Encoded
from circuit_distillation.training.arm_settings import arm_settings
from circuit_distillation.training.distill import distill
from circuit_distillation.training.features import RecordedFeatures
from circuit_distillation.training.teacher_cache import TeacherSignals, data_hash

STEPS = 8  # the first two (they allocate) and the last (it validates) do not count


def main() -> None:
    options = _options()
    teacher = shapes.build("8B", options.scale, seed=1).to(options.device, torch.bfloat16)
    rows = []
    for arm in ARMS:
        for live in (False, True):
            teacher.to(options.device if live else "cpu")
            seconds, peak = _measure(arm, options, teacher if live else None)
            rows.append((arm, "live" if live else "stored", options.batch * shapes.TOKENS / seconds, peak))
            print(rows[-1], flush=True)
    _write(options, rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--student", choices=("1B", "3B"), default="3B")
    parser.add_argument("--scale", type=int, default=1, help="widths and vocabulary are divided by it")
    parser.add_argument("--batch", type=int, default=32, help=f"prompts of {shapes.TOKENS} tokens a step")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    return parser.parse_args()


def _measure(arm: str, options: argparse.Namespace, teacher) -> tuple[float, float]:
    """Median seconds of a step, and peak GiB. With a teacher, its forward runs between the steps."""
    student = shapes.build(options.student, options.scale, seed=0).to(options.device)
    heads = shapes.draw_heads(student, round(shapes.SHARE * architecture(student).n_total_heads), seed=0)
    layers, width, _, n_heads, _ = shapes.SHAPES["8B"]
    pairs = [(head, (i % layers, i % n_heads)) for i, head in enumerate(heads)]
    sites = [teacher_head for _, teacher_head in pairs] + [(layer, None) for layer in range(layers)]
    train = shapes.prompts(options.batch * STEPS, options.scale)
    widths = (width if head is None else width // n_heads for _, head in sites)
    features = {
        site: torch.randn(len(train.input_ids), 1, size // options.scale)
        for site, size in zip(sites, widths, strict=True)
    }
    logits = torch.randn(len(train.input_ids), student.config.vocab_size)
    signals = TeacherSignals(train.answer_ids, logits, features, "last", "random", data_hash(train, "last"))
    settings = dict(
        epochs=1, batch_size=options.batch, evaluate_every=10**6, warmup_steps=0, precision="bf16"
    )
    clock = _Clock(options.device, teacher, sites, _first(train, options.batch))
    distill(
        student,
        train,
        _first(train, 2),
        signals,
        settings=arm_settings(ARMS[arm], settings, seed=0),
        heads=heads,
        pairs=pairs,
        on_step=clock.tick,
        progress_bar=False,
    )
    counted = [after - before for before, after in zip(clock.times[1:-2], clock.times[2:-1])]
    return median(counted), clock.peak_gib


class _Clock:
    """Called after every step: what a live teacher adds to the next one, then the time."""

    def __init__(self, device: str, teacher, sites: list, batch: Encoded):
        self._on_gpu = device == "cuda"
        self._teacher, self._sites = teacher, sites
        self._ids, self._last = batch.input_ids.to(device), batch.positions["last"][:, None].to(device)
        self.times: list[float] = []
        self.peak_gib = float("nan")
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()

    @torch.no_grad()
    def tick(self, _row: dict[str, float]) -> None:
        if self._teacher is not None:
            with RecordedFeatures(self._teacher, self._sites) as recorded:
                hidden = self._teacher.model(input_ids=self._ids, use_cache=False).last_hidden_state
                self._teacher.lm_head(hidden[:, -1])
                recorded.at(self._last)
        if self._on_gpu:
            torch.cuda.synchronize()
            self.peak_gib = torch.cuda.max_memory_allocated() / 2**30
        self.times.append(time.perf_counter())


def _first(encoded: Encoded, n: int) -> Encoded:
    positions = {role: places[:n] for role, places in encoded.positions.items()}
    parts = {name: value[:n] for name, value in vars(encoded).items() if name != "positions"}
    return replace(encoded, positions=positions, **parts)


def _write(options: argparse.Namespace, rows: list[tuple[str, str, float, float]]) -> None:
    where = torch.cuda.get_device_name() if options.device == "cuda" else machine()
    lines = [
        f"{options.student}-shaped student, 8B-shaped teacher (widths and vocabulary / {options.scale}), "
        f"random weights, {options.batch} prompts of {shapes.TOKENS} tokens a step, bf16 autocast; {where}.",
        "",
        "| arm | teacher | tokens per second | peak memory, GiB |",
        "|---|---|---|---|",
        *(f"| {arm} | {teacher} | {speed:.0f} | {peak:.1f} |" for arm, teacher, speed, peak in rows),
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"distillation_{options.device}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
