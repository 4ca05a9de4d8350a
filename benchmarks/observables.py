"""What aligning each observable costs beside a CE step on the same heads.

    python -m benchmarks.observables

The student of `benchmarks.distillation` with the shape of Llama-3.2-1B over 8; random weights; CPU seconds of
one thread, arms in turns, ratios of medians. `acting` counts a tenth of the tokens. Writes
results/observables.csv and .md beside this file.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import pandas as pd
import torch

from benchmarks.distillation import BATCH, SHAPES, SHARE, STEPS, TIME_SCALE, TURNS, build, draw_heads, prompts
from circuit_distillation.arms import ARMS
from circuit_distillation.models.architecture import architecture
from circuit_distillation.training.arm_settings import arm_settings
from circuit_distillation.training.distill import distill
from circuit_distillation.training.teacher_cache import TeacherSignals, data_hash

KINDS = {  # name -> observable, similarity, rows
    "CE": None,
    "z, last token (the paper)": ("z", "cka", "last"),
    "output, last token": ("output", "cka", "last"),
    "attention, last token": ("attention", "kl", "last"),
    "attention, acting": ("attention", "kl", "acting"),
    "attention, all tokens": ("attention", "kl", "all"),
    "relations, acting": ("relations", "kl", "acting"),
}
RESULTS = Path(__file__).parent / "results"


def width_of(observable: str, n_tokens: int) -> int:
    _, width, _, n_heads, _ = SHAPES["8B"]
    return {"z": width // n_heads, "output": width}.get(observable, TIME_SCALE * n_tokens) // TIME_SCALE


def signals_of(kind: tuple[str, str, str] | None, train, sites) -> TeacherSignals:
    """Random teachers cost what real ones do; rows of attention are distributions."""
    observable, similarity, rows = kind or ("z", "cka", "last")
    n, n_tokens = train.input_ids.shape
    shape = (n, 1 if rows == "last" else n_tokens, width_of(observable, n_tokens))
    draws = {site: torch.randn(shape) for site in sites}
    if similarity == "kl":
        draws = {site: values.softmax(-1) for site, values in draws.items()}
    hashes = ("random", data_hash(train, rows))
    return TeacherSignals(train.answer_ids, None, draws, rows, *hashes, observable)


def run_kind(kind: tuple[str, str, str] | None, student, train, heads, pairs) -> list[float]:
    """CPU seconds of the counted steps of one turn."""
    arm = ARMS["circuit_ce" if kind is None else "circuit_ce_align_cka"]
    options: dict[str, object] = dict(epochs=1, batch_size=BATCH, evaluate_every=10**6, warmup_steps=0)
    if kind is not None:
        options |= dict(zip(("observable", "similarity", "rows"), kind, strict=True))
    n, n_tokens = train.input_ids.shape
    acts = torch.arange(n_tokens).expand(n, n_tokens) % 10 == n_tokens % 10 - 1
    clock: list[float] = []
    distill(
        student,
        train,
        prompts(2, TIME_SCALE),
        signals_of(kind, train, [site for _, site in pairs]),
        settings=arm_settings(arm, options, seed=0),
        heads=heads,
        pairs=pairs,
        acting=dict.fromkeys(heads, acts),
        on_step=lambda row: clock.append(time.process_time()),
        progress_bar=False,
    )
    return [after - before for before, after in zip(clock[:-2], clock[1:-1], strict=True)]


def time_steps() -> pd.DataFrame:
    student = build("1B", TIME_SCALE, seed=0)
    heads = draw_heads(student, round(SHARE * architecture(student).n_total_heads), seed=0)
    layers, _, _, n_heads, _ = SHAPES["8B"]
    pairs = [(head, (i % layers, i % n_heads)) for i, head in enumerate(heads)]
    train = prompts(BATCH * STEPS, TIME_SCALE)
    seconds: dict[str, list[float]] = {name: [] for name in KINDS}
    for _ in range(TURNS):
        for name, kind in KINDS.items():
            seconds[name] += run_kind(kind, student, train, heads, pairs)
    ce = median(seconds["CE"])
    rows = [(name, median(values), median(values) / ce) for name, values in seconds.items()]
    return pd.DataFrame(rows, columns=["observable", "seconds", "of_ce"])


def main() -> None:
    torch.set_num_threads(1)
    table = time_steps()
    RESULTS.mkdir(exist_ok=True)
    table.to_csv(RESULTS / "observables.csv", index=False, float_format="%.4g")
    lines = [f"| {row.observable} | {row.seconds:.3f} | {row.of_ce:.2f} |" for row in table.itertuples()]
    text = "\n".join(["| observable | CPU seconds a step | of a CE step |", "|:---|---:|---:|", *lines])
    (RESULTS / "observables.md").write_text(f"{text}\n")
    print(text)


if __name__ == "__main__":
    main()
