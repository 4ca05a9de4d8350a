"""Times the circuit engine against plain hooks, TransformerLens and nnsight on the same weights, one CPU
thread.

    python -m benchmarks.against_peers            # plain hooks only
    python -m benchmarks.against_peers --peers    # also the libraries of the dependency group `bench`
    python -m benchmarks.against_peers --peers --shape smollm2  # two of the measurements

Every pair of results must agree to 1e-5 before a time is written to benchmarks/results/against_peers.{csv,md}
(against_peers_smollm2 for that shape). Times are CPU seconds of the one thread, medians of rounds in which
every engine runs once, so that other work on the machine touches all of them alike.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from benchmarks import hooked
from benchmarks.setting import (
    N_PROMPTS,
    N_TOKENS,
    RESULTS,
    SHAPES,
    Prompts,
    cpu_seconds,
    machine,
    random_prompts,
    scene_prompts,
    small_model,
)
from circuit_distillation.circuits.clean_runs import RecordedRuns
from circuit_distillation.circuits.mean_ablation import head_effects, head_means
from circuit_distillation.circuits.path_patching import score_heads

RECEIVERS = [(layer, head) for layer in (4, 5, 6, 7) for head in (0, 3)]
DETECTORS, READERS = (
    [(layer, head) for layer in (3, 4, 5) for head in (1, 6)],
    [(layer, 2) for layer in (2, 3, 4)],
)
# Sender position of each stage of the whole search; the structure reader's is in the middle of the prompt.
SEARCH = [
    ("Value Fetcher", -1, None, None),
    ("Position Transmitter", -1, RECEIVERS, "q"),
    ("Position Detector", -3, DETECTORS, "v"),
    ("Structure Reader", 32, READERS, "v"),
]
LARGER = (1, 16)  # prompts and tokens on larger shapes, where hooks take minutes
OF_LARGER = ("sender to logits", "last-token ablation")
ROUND_SECONDS = 120.0  # for all rounds of a measurement
Engines = dict[str, Callable[[], Tensor]]  # the first is what the others must agree with
Measured = tuple[str, str, float, float]  # measurement, engine, seconds, largest difference from plain hooks
HOOKS, OURS, OURS_RECORDING = "plain hooks", "this project", "this project, recording included"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", action="store_true", help="also time TransformerLens and nnsight")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs at most; fewer if they take long")
    parser.add_argument("--shape", choices=SHAPES, default="small")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = small_model(options.shape)
    size = (N_PROMPTS, N_TOKENS) if options.shape == "small" else LARGER
    prompts = random_prompts(model.config.vocab_size, *size)
    scenes = scene_prompts(model.config.vocab_size)
    rows: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder:
        peers = _peers(model, Path(folder)) if options.peers else []
        for title, engines in _measurements(model, prompts, scenes, peers):
            if options.shape == "small" or title in OF_LARGER:
                rows += _measure(title, engines, options.rounds)
    _write(rows, options.shape, size)


def _peers(model, folder: Path) -> list:
    from benchmarks.peers import NNsight, TransformerLens

    model.save_pretrained(folder)
    _save_tokenizer(folder, model.config.vocab_size)
    return [TransformerLens(folder), NNsight(folder)]


def _save_tokenizer(folder: Path, vocab_size: int) -> None:
    """The libraries want a tokenizer beside the weights; prompts are given as ids."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{index}": index for index in range(vocab_size)}, unk_token="w0"))
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="w0", pad_token="w1", bos_token="w2", eos_token="w3"
    ).save_pretrained(folder)


def _measurements(model, prompts: Prompts, scenes: Prompts, peers: list) -> list[tuple[str, Engines]]:
    """(title, engines) of every measurement; all engines return [head, example].

    Stages of one search share the recorded runs of their prompts: such measurements are taken without and
    with the recording.
    """
    means = head_means(model, prompts.clean)
    runs = _recorded(model, prompts)

    def patch(
        position: int, receivers: list | None, which: str | None, runs: RecordedRuns | None
    ) -> Callable:
        def fast() -> Tensor:
            scores = score_heads(
                model,
                prompts.clean,
                prompts.corrupt,
                prompts.answers,
                position,
                receivers=receivers,
                receiver_input=which,
                kv_scope="group",
                score="log_prob",
                runs=runs,
            )
            return scores.flatten(0, 1)

        return fast

    def hooks(position: int, receivers: list | None, which: str | None) -> Callable:
        position = position % prompts.clean.shape[1]
        base = _base(model, prompts)
        if receivers is None:
            return lambda: hooked.sender_to_logits(model, prompts) - base
        return lambda: hooked.sender_to_receivers(model, prompts, receivers, which, position) - base

    def ablate(data: Prompts, positions: list[int] | None) -> Callable:
        return lambda: head_effects(
            model, data.clean, data.answers, means, positions=positions
        ).log_prob.flatten(0, 1)

    def ablated(data: Prompts, last_only: bool) -> Engines:
        return {
            HOOKS: lambda: hooked.mean_ablation(model, data, means, last_only=last_only),
            **{p.name: lambda p=p: p.mean_ablation(data, means, last_only=last_only) for p in peers},
        }

    base = _base(model, prompts)
    to_logits = {p.name: lambda p=p: p.sender_to_logits(prompts) - base for p in peers}
    direct, through = (-1, None, None), (-1, RECEIVERS, "q")
    return [
        (
            "sender to logits",
            {HOOKS: hooks(*direct)}
            | {OURS: patch(*direct, runs), OURS_RECORDING: patch(*direct, None)}
            | to_logits,
        ),
        (
            "sender to q",
            {HOOKS: hooks(*through)} | {OURS: patch(*through, runs), OURS_RECORDING: patch(*through, None)},
        ),
        (
            "last-token ablation",
            ablated(prompts, True) | {OURS_RECORDING: ablate(prompts, [-1])},
        ),
        ("all-position ablation", ablated(prompts, False) | {OURS: ablate(prompts, None)}),
        ("all-position ablation, 7 queries a scene", ablated(scenes, False) | {OURS: ablate(scenes, None)}),
        (
            "four-stage search, recording included",
            {HOOKS: lambda: torch.cat([hooks(*stage[1:])() for stage in SEARCH])}
            | {OURS: lambda: _search(model, prompts)},
        ),
    ]


def _recorded(model, prompts: Prompts) -> RecordedRuns:
    runs = RecordedRuns(model, prompts.clean, prompts.corrupt)
    for index in range(len(runs.chunks)):
        runs.chunk(index)
    return runs


def _search(model, prompts: Prompts) -> Tensor:
    """The stages with fixed receivers, recording included once."""
    runs = _recorded(model, prompts)
    scores = [
        score_heads(
            model,
            prompts.clean,
            prompts.corrupt,
            prompts.answers,
            position,
            receivers=receivers,
            receiver_input=which,
            kv_scope="group",
            score="log_prob",
            runs=runs,
        )
        for _, position, receivers, which in SEARCH
    ]
    return torch.cat([score.flatten(0, 1) for score in scores])


@torch.no_grad()
def _base(model, prompts: Prompts) -> Tensor:
    return hooked.answer_log_probs(model(prompts.clean, use_cache=False).logits, prompts.answers)


def _measure(title: str, engines: Engines, rounds: int) -> list[Measured]:
    """Checks every engine against the first, which also warms it up; then times them in turns."""
    expected, differences = None, {}
    start = time.perf_counter()
    for name, work in engines.items():
        found = work()
        expected = found if expected is None else expected
        differences[name] = float((found - expected).abs().max())
        if differences[name] > 1e-5:
            raise SystemExit(f"{title}: {name} differs from plain hooks by {differences[name]:.1e}")
    times: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(max(1, min(rounds, int(ROUND_SECONDS / (time.perf_counter() - start))))):
        for name, work in engines.items():
            times[name].append(cpu_seconds(work))
    rows = [(title, name, median(times[name]), differences[name]) for name in engines]
    for row in rows:
        print(f"{row[0]:42s} {row[1]:34s} {row[2]:9.3f} s {rows[0][2] / row[2]:7.1f} x", flush=True)
    return rows


def _write(rows: list[Measured], shape: str, size: tuple[int, int]) -> None:
    RESULTS.mkdir(exist_ok=True)
    hooks = {title: spent for title, engine, spent, _ in rows if engine == HOOKS}
    config = SHAPES[shape]
    layers, heads, width = (
        config[name] for name in ("num_hidden_layers", "num_attention_heads", "hidden_size")
    )
    scenes = " (56 with scenes)" if shape == "small" else ""
    lines = [
        f"Measured on {machine()}. {layers} layers x {heads} heads, d {width}, {size[1]} tokens, "
        f"prompts: {size[0]}{scenes}, float32; medians of CPU seconds.",
        "",
        "| measurement | engine | seconds | faster than plain hooks | largest difference |",
        "|---|---|---|---|---|",
    ]
    for title, engine, spent, difference in rows:
        lines.append(f"| {title} | {engine} | {spent:.3f} | {hooks[title] / spent:.1f} | {difference:.0e} |")
    name = "against_peers" if shape == "small" else f"against_peers_{shape}"
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n")
    with open(RESULTS / f"{name}.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["measurement", "engine", "seconds", "faster_than_hooks", "difference"])
        for title, engine, spent, difference in rows:
            writer.writerow([title, engine, spent, hooks[title] / spent, difference])


if __name__ == "__main__":
    main()
