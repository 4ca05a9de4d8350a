"""Times the circuit engine against plain hooks, TransformerLens and nnsight on the same weights, one CPU
thread.

    python -m benchmarks.against_peers            # plain hooks only
    python -m benchmarks.against_peers --peers    # also the libraries of the dependency group `bench`

Every pair of results must agree to 1e-5 before a time is written to
benchmarks/results/against_peers.{csv,md}.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import hooked
from benchmarks.setting import RESULTS, Prompts, machine, random_prompts, scene_prompts, seconds, small_model
from circuit_distillation.circuits.clean_runs import PatchingRuns
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
Measured = tuple[
    str, str, float, float | None
]  # measurement, engine, seconds, largest difference from plain hooks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", action="store_true", help="also time TransformerLens and nnsight")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of which the median counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    where = machine()
    model = small_model()
    prompts, scenes = random_prompts(model.config.vocab_size), scene_prompts(model.config.vocab_size)
    peers = _peers(model) if options.peers else []
    rows: list[Measured] = []
    for title, reference, fast, others in _measurements(model, prompts, scenes, peers):
        rows += _measure(title, reference, fast, others, options.repeats)
    _write(rows, where)


def _peers(model) -> list:
    from benchmarks.peers import NNsight, TransformerLens

    folder = Path(tempfile.mkdtemp())
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


def _measurements(model, prompts: Prompts, scenes: Prompts, peers: list) -> list[tuple]:
    """(title, plain hooks, the engine, {peer: the same}) of every measurement; all return [head, example]."""
    means = head_means(model, prompts.clean)
    runs = _recorded(model, prompts)

    def patch(
        position: int, receivers: list | None, which: str | None, runs: PatchingRuns | None
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

    def peer_ablate(data: Prompts, last_only: bool) -> dict:
        return {p.name: lambda p=p: p.mean_ablation(data, means, last_only=last_only) for p in peers}

    base = _base(model, prompts)
    to_logits = {p.name: lambda p=p: p.sender_to_logits(prompts) - base for p in peers}
    direct, through = (-1, None, None), (-1, RECEIVERS, "q")
    return [
        ("sender to logits", hooks(*direct), patch(*direct, runs), to_logits),
        ("sender to logits, recording included", hooks(*direct), patch(*direct, None), {}),
        ("sender to q", hooks(*through), patch(*through, runs), {}),
        ("sender to q, recording included", hooks(*through), patch(*through, None), {}),
        (
            "last-token ablation",
            lambda: hooked.mean_ablation(model, prompts, means, last_only=True),
            ablate(prompts, [-1]),
            peer_ablate(prompts, True),
        ),
        (
            "all-position ablation",
            lambda: hooked.mean_ablation(model, prompts, means, last_only=False),
            ablate(prompts, None),
            peer_ablate(prompts, False),
        ),
        (
            "all-position ablation, 7 queries a scene",
            lambda: hooked.mean_ablation(model, scenes, means, last_only=False),
            ablate(scenes, None),
            peer_ablate(scenes, False),
        ),
        (
            "four-stage search",
            lambda: torch.cat([hooks(*stage[1:])() for stage in SEARCH]),
            lambda: _search(model, prompts),
            {},
        ),
    ]


def _recorded(model, prompts: Prompts) -> PatchingRuns:
    runs = PatchingRuns(model, prompts.clean, prompts.corrupt)
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


def _measure(title: str, reference: Callable, fast: Callable, others: dict, repeats: int) -> list[Measured]:
    expected = reference()
    rows: list[Measured] = [(title, "plain hooks", seconds(reference, max(1, repeats // 2)), None)]
    for name, work in {"this project": fast, **others}.items():
        difference = float((work() - expected).abs().max())
        if difference > 1e-5:
            raise SystemExit(f"{title}: {name} differs from plain hooks by {difference:.1e}")
        rows.append(
            (
                title,
                name,
                seconds(work, repeats if name == "this project" else max(1, repeats // 2)),
                difference,
            )
        )
    for row in rows:
        print(f"{row[0]:45s} {row[1]:16s} {row[2]:9.3f} s", flush=True)
    return rows


def _write(rows: list[Measured], where: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    own = {title: time for title, engine, time, _ in rows if engine == "this project"}
    lines = [
        f"Measured on {where}. 8 layers x 8 heads, d 256, 64 tokens, 8 prompts (56 with scenes), "
        "float32; medians.",
        "",
        "| measurement | engine | seconds | times slower than this project | largest difference |",
        "|---|---|---|---|---|",
    ]
    for title, engine, time, difference in rows:
        shown = "" if difference is None else f"{difference:.0e}"
        lines.append(f"| {title} | {engine} | {time:.3f} | {time / own[title]:.1f} | {shown} |")
    (RESULTS / "against_peers.md").write_text("\n".join(lines) + "\n")
    with open(RESULTS / "against_peers.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["measurement", "engine", "seconds", "ratio", "difference"])
        writer.writerows([title, engine, time, time / own[title], diff] for title, engine, time, diff in rows)


if __name__ == "__main__":
    main()
