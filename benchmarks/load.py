"""What large runs take: CPU time and peak memory of each part, in a process of its own, against bounds.

    python -m benchmarks.load [PART ...]      writes benchmarks/results/load.md; fails if a bound is not kept

Parts: `predictions` (10,000 test prompts under 200 random circuits), `tables` (their rows and tests), `heads`
(mapping a student of 1,024 heads onto a teacher of 1,024) and `report` (50 experiments on one page, with as
many pictures and facts as runs of the mini family leave). The model of `predictions` is tiny (2 layers of 8
heads, random weights): what counts grows with the prompts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.setting import RESULTS, machine

N_PROMPTS, N_RANDOM, N_HEADS, N_EXPERIMENTS = 10_000, 200, 32, 50  # heads a layer, and layers
BOUNDS = {"predictions": (300, 2.0), "tables": (60, 2.0), "heads": (300, 2.0), "report": (300, 2.0)}  # s, GB
WHAT = {
    "predictions": f"{N_PROMPTS:,} test prompts, {N_RANDOM} random circuits",
    "tables": f"rows and McNemar tests of 8 models on {N_PROMPTS:,} prompts, {N_RANDOM} random circuits",
    "heads": f"two models of {N_HEADS**2:,} heads, 200 prompts: checked, mapped by every rule",
    "report": f"tables and page over {N_EXPERIMENTS} experiments, with pictures and facts",
}
ARMS = ("base", "tuned", "circuit_ce", "full_ce", "circuit_ce_rand_cka", "circuit_ce_align_cka")
RULES = ("nearest", "one_to_one", "profile", "cka", "random")
STAGES = {
    "entity": (
        "value_fetcher",
        "position_transmitter",
        "position_detector",
        "structure_reader",
        "label_reader",
    ),
    "tom": ("mean_ablation",),
}
LAYERS = {"small": 4, "medium": 6, "large": 8}  # of the mini family, with 8 heads each
N_FACTS = 400  # of a run, of each task about as many
LABELS = {"small": "S", "medium": "M", "large": "L"}


def predictions() -> None:
    """Every prompt under the full model, its circuit and 200 random ones."""
    from dataclasses import replace

    from circuit_distillation.circuits.predictions import prediction_frame
    from circuit_distillation.datasets import validators
    from circuit_distillation.models import mini
    from circuit_distillation.models.loading import Checkpoint
    from circuit_distillation.tasks import get_task

    task = get_task("entity")
    mini.MINI_SIZES["small"] = replace(mini.MINI_SIZES["small"], n_layers=2, d_model=32, d_head=8)
    test, means = task.generate(-(-N_PROMPTS // 7), 0)[:N_PROMPTS], task.generate(10, 1)
    tokenizer = mini.build_tokenizer(example.prompt for example in [*test, *means])
    model = mini.build_model("small", tokenizer, 0).eval()
    heads = [(0, 1), (1, 2)]
    frame = prediction_frame(Checkpoint(model, tokenizer), test, means, heads, N_RANDOM, 0)
    validators.predictions(frame)
    assert len(frame) == N_PROMPTS


def tables() -> None:
    """What reporting makes of such predictions."""
    from circuit_distillation.reporting.results import result_rows
    from circuit_distillation.reporting.significance import significance_table

    run = {"task": "entity", "seed": 0, "experiment": "paper"}
    students = [(role, arm) for role in ("small", "medium") for arm in ARMS[2:]]
    stored = {f"{role}.{arm}": _made_up(k, N_PROMPTS, N_RANDOM) for k, (role, arm) in enumerate(students)}
    rows = [
        result_rows(frame, **run, **dict(zip(("model", "arm"), name.split("."), strict=True)))
        for name, frame in stored.items()
    ]
    assert len(pd.concat(rows)) and len(significance_table(stored, **run))


def heads() -> None:
    """Checks and mappings of large models."""
    from circuit_distillation.datasets import validators
    from circuit_distillation.mapping.build import build_mapping
    from circuit_distillation.mapping.effects import Effects
    from circuit_distillation.mapping.settings import MappingSettings

    sides, outputs = [], []
    for seed in range(2):
        frame, z = _effects(seed)
        validators.ablation_effects(frame)
        sides.append(Effects.from_frame(frame))
        outputs.append(z)
    circuits = [
        {"role": role, "heads": [[k % N_HEADS, k // N_HEADS] for k in range(200)], "model_hash": role}
        for role in ("small", "large")
    ]
    for rule in RULES:
        settings = MappingSettings(fraction=0.11, rule=rule)
        found = build_mapping(*sides, *circuits, settings, outputs=tuple(outputs))
        validators.mapping(found)


def report() -> None:
    """The tables and the page of a family with many experiments."""
    from circuit_distillation.reporting.facts import run_facts
    from circuit_distillation.reporting.page import render_page
    from circuit_distillation.reporting.results import result_rows
    from circuit_distillation.reporting.significance import significance_table
    from circuit_distillation.reporting.tables import build_table

    results, tests, facts, figures = [], [], [], {}
    drawn = {task: _drawn(task) for task in STAGES}
    for number in range(N_EXPERIMENTS):
        run = {"task": ("entity", "tom")[number % 2], "seed": 0, "experiment": f"e{number // 2}"}
        stored = {
            f"{role}.{arm}": _made_up(10 * number + k, 700, 3, run["task"])
            for role in ("small", "medium")
            for k, arm in enumerate(ARMS)
        }
        for name, frame in stored.items():
            role, arm = name.split(".")
            results.append(result_rows(frame, **run, model=role, arm=arm))
        tests.append(significance_table(stored, **run))
        facts.append(run_facts(**run, mappings={}, groups={"Parameters": _settings()}))
        figures |= _renamed(drawn[run["task"]], run["experiment"])
    rows = pd.concat(results, ignore_index=True)
    for number in range(1, 5):
        build_table(rows, number, LABELS, "e0")
    significance, facts_of_all = (pd.concat(frames, ignore_index=True) for frames in (tests, facts))
    given = {"results": rows, "significance": significance, "figures": figures, "facts": facts_of_all}
    page = render_page(family="mini", labels=LABELS, **given, experiment="e0")
    pictures = sum(map(len, figures.values()))
    print(
        f"page of {len(page) / 1e6:.1f} MB, pictures of all experiments {pictures / 1e6:.1f} MB", flush=True
    )


def _drawn(task: str) -> dict[str, bytes]:
    """The pictures of one run: of six searched models, and of the arms of both students."""
    from circuit_distillation.reporting.figures import run_figures

    rng = np.random.default_rng(0)
    head = {"student": [1, 1], "teacher": [2, 1], "student_impact": 0.2, "teacher_impact": 0.3}
    mapping = {"rule": "nearest", "pairs": [head] * 4, "random_pairs": [head] * 4, "n_pairs": 4}
    mapping |= {"distinct_teacher_heads": 1, "ties": []}
    histories, scores = {}, {}
    for role, arm in ((role, arm) for role in ("small", "medium") for arm in ARMS[2:]):
        history = pd.DataFrame({"step": range(300), "ce": rng.random(300), "similarity": np.nan})
        history["noise_floor"], history["measure"] = 0.2, "CKA"
        if arm.endswith("cka"):
            history["similarity"] = history["similarity_0"] = rng.random(300)
        histories[f"{role}.{arm}"] = history
    for role, arm in ((role, arm) for role in LAYERS for arm in ARMS[:2]):
        index = [(*head, stage) for stage in STAGES[task] for head in np.ndindex(LAYERS[role], 8)]
        frame = pd.DataFrame(index, columns=["layer", "head", "stage"])
        scores[f"{role}.{arm}"] = frame.assign(score=rng.normal(size=len(frame)), stderr=0.01)
    run = {"task": task, "seed": 0, "experiment": "e0", "labels": LABELS, "circuits": {}}
    return run_figures(**run, histories=histories, scores=scores, mappings=dict.fromkeys(LABELS, mapping))


def _renamed(drawn: dict[str, bytes], experiment: str) -> dict[str, bytes]:
    """Those of another experiment: drawing them is the work of its own run, and not of the page."""
    swaps = {b"_e0_": f"_{experiment}_".encode(), b'"e0"': f'"{experiment}"'.encode()}
    renamed = {}
    for name, svg in drawn.items():
        for old, new in swaps.items():
            svg = svg.replace(old, new)
        renamed[f"{experiment}/{name.replace('_e0_', f'_{experiment}_')}"] = svg
    return renamed


def _settings() -> dict[str, str]:
    """As many facts as a run leaves, about as long."""
    return {f"distillation.some_block.setting_{k:03d}": "0.0001" * (1 + k % 9) for k in range(N_FACTS)}


def _made_up(seed: int, n: int, n_random: int, task: str = "entity") -> pd.DataFrame:
    """Predictions of a model that is right on some prompts."""
    rng = np.random.default_rng(seed)
    answers = [f"thing{k}" for k in rng.integers(0, 7, n)]
    cells = ["box"] * n if task == "entity" else [("own", "seen", "unseen")[k % 3] for k in range(n)]
    columns = {"example_id": [f"e{k}" for k in range(n)], "group_id": [f"g{k // 7}" for k in range(n)]}
    columns |= {"template": ["plain"] * n, "cell": cells, "answer": answers}
    for part, accuracy in (("full", 0.5 + 0.03 * (seed % 10)), ("circuit", 0.4 + 0.03 * (seed % 10))):
        correct = rng.random(n) < accuracy
        columns[f"{part}_predicted"] = np.where(correct, answers, "rubbish")
        columns[f"{part}_correct"] = columns[f"{part}_candidate_correct"] = correct
    for k in range(n_random):
        columns[f"random_{k:02d}_correct"] = rng.random(n) < 0.02
    return pd.DataFrame(columns)


def _effects(seed: int) -> tuple[pd.DataFrame, dict]:
    """Ablation effects of every head on 200 prompts, and head outputs."""
    rng, n = np.random.default_rng(seed), 200
    index = [(-1, -1), *((layer, head) for layer in range(N_HEADS) for head in range(N_HEADS))]
    frame = pd.DataFrame(np.repeat(index, n, axis=0), columns=["layer", "head"])
    frame["example_id"] = [f"e{k:03d}" for k in range(n)] * len(index)
    frame["group_id"] = [f"g{k // 7}" for k in range(n)] * len(index)
    frame["log_prob"], frame["correct"] = -rng.random(len(frame)), rng.random(len(frame)) < 0.5
    frame["logit_diff"] = rng.normal(size=len(frame))
    return frame, {head: rng.normal(size=(n, 64)).astype(np.float32) for head in index[1:]}


def measure(part: str) -> tuple[float, float]:
    """(CPU seconds, peak GB) of a part, in a process of its own; RuntimeError if it fails."""
    command = [sys.executable, "-m", "benchmarks.load", "--here", part]
    child = os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{part} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def main(arguments: list[str]) -> int:
    """Measure and write the table; how many bounds were not kept."""
    if arguments[:1] == ["--here"]:
        globals()[arguments[1]]()
        return 0
    lines, broken = ["| part | CPU seconds | bound | peak GB | bound |", "|---|---|---|---|---|"], 0
    for part in arguments or BOUNDS:
        seconds, gigabytes = measure(part)
        most = BOUNDS[part]
        broken += seconds > most[0] or gigabytes > most[1]
        lines.append(f"| {WHAT[part]} | {seconds:.0f} | {most[0]} | {gigabytes:.2f} | {most[1]} |")
        print(lines[-1], flush=True)
    if not arguments:
        text = "\n".join(["# Large runs", "", *lines, "", machine()])
        Path(RESULTS / "load.md").write_text(f"{text}\n")
    return broken


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
