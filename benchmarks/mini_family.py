"""Times circuit discovery of the mini family, before and after: hooked forwards against the circuit engine.

    python -m benchmarks.mini_family --data data --seed 0

needs the prompts and base models of a run (`make run`). "Before" is done in full for the small model: the
naive twins of the tests, one or two hooked forwards a head for every stage, one a circuit for pruning and
evaluation. Both must find the same circuit and effects. Times are CPU seconds of one thread. Writes
benchmarks/results/mini_family.{csv,md}.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from torch import Tensor

from benchmarks.setting import RESULTS, cpu_seconds, machine
from circuit_distillation.circuits.discovery import select_heads
from circuit_distillation.circuits.effects import ablation_frames
from circuit_distillation.circuits.evaluation import head_mask
from circuit_distillation.circuits.minimality import prune
from circuit_distillation.circuits.predictions import prediction_frame
from circuit_distillation.circuits.random_circuits import random_circuits
from circuit_distillation.circuits.search import find_circuit
from circuit_distillation.circuits.settings import PathPatching
from circuit_distillation.models.architecture import architecture
from circuit_distillation.models.encoding import encode
from circuit_distillation.models.loading import load_checkpoint
from circuit_distillation.tasks.example import from_frame

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from naive.ablation import naive_circuit_logits, naive_head_effects, naive_means  # noqa: E402
from naive.path_patching import naive_scores  # noqa: E402

BATCH = 256  # prompts a forward in circuit evaluation
Row = tuple[str, str, str, float]  # model, step, engine, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    where = machine()
    settings = yaml.safe_load((ROOT / "conf/base/parameters_circuit_discovery.yml").read_text())
    rows: list[Row] = []
    for role in ("small", "medium", "large"):
        case = _Case(options.data, options.seed, role, settings)
        rows += case.after()
        rows += case.before() if role == "small" else []
        for row in rows:
            print(*row, flush=True)
    _write(rows, where)


class _Case:
    """One base model on entity tracking, with the prompts of its run."""

    def __init__(self, data: Path, seed: int, role: str, settings: dict[str, Any]):
        run = f"mini/seed{seed}/entity"
        self.role = role
        self.checkpoint = load_checkpoint(data / "06_models" / run / "base" / role, attention="eager")
        self.model = self.checkpoint.model
        self.discovery, self.corrupt, self.means, self.mapping, self.test = (
            from_frame(pd.read_parquet(data / "03_primary" / run / f"{split}.parquet"))
            for split in ("discovery", "discovery_corrupt", "means", "mapping", "test")
        )
        self.settings = settings["circuit_discovery"]["entity"]
        self.n_random = settings["evaluation"]["n_random_circuits"]
        self.found: dict[str, Any] = {}

    def after(self) -> list[Row]:
        prompts = (self.discovery, self.corrupt, self.means)
        return self._timed(
            "circuit engine",
            {
                "search and pruning": lambda: find_circuit(
                    self.checkpoint, *prompts, PathPatching(**self.settings)
                ),
                "ablation sweep": lambda: ablation_frames(self.checkpoint, self.mapping, self.means),
                "circuit evaluation": lambda: prediction_frame(
                    self.checkpoint, self.test, self.means, self._heads(), self.n_random, 0
                ),
            },
        )

    def before(self) -> list[Row]:
        mine = self.found
        rows = self._timed(
            "plain hooks",
            {
                "search and pruning": self._naive_search,
                "ablation sweep": self._naive_sweep,
                "circuit evaluation": lambda: self._naive_evaluation(mine["search and pruning"][1]["heads"]),
            },
        )
        _must_agree(mine, self.found)
        return rows

    def _timed(self, engine: str, steps: dict[str, Callable]) -> list[Row]:
        rows, self.found = [], {}
        for name, step in steps.items():
            seconds = cpu_seconds(lambda: self.found.__setitem__(name, step()))  # noqa: B023
            rows.append((self.role, name, engine, seconds))
        return rows

    def _heads(self) -> list[tuple[int, int]]:
        return [tuple(head) for head in self.found["search and pruning"][1]["heads"]]

    def _encoded(self, examples: list) -> Any:
        return encode(self.checkpoint.tokenizer, examples)

    def _naive_means(self) -> Tensor:
        reference = self._encoded(self.means)
        return naive_means(self.model, reference.input_ids, reference.attention_mask.sum(1))

    def _naive_search(self) -> dict[str, list]:
        n = self.settings["n_examples"]
        clean, there = self._encoded(self.discovery[:n]), self._encoded(self.corrupt[:n])
        lengths, kept = clean.attention_mask.sum(1), {}
        for stage in self.settings["stages"]:
            heads = sorted({head for name in stage.get("receivers", ()) for head in kept[name]})
            if stage.get("receivers") and not heads:
                kept[stage["name"]] = []
                continue
            scores = naive_scores(
                self.model,
                clean.input_ids,
                there.input_ids,
                clean.answer_ids,
                clean.positions[stage["sender"]],
                there.positions[stage["sender"]],
                lengths,
                receivers=heads or None,
                which=stage.get("receiver_input"),
                kv_scope=self.settings["kv_scope"],
            )
            kept[stage["name"]] = select_heads(scores, stage["n_heads"], stage["min_drop"], stage["z"]).heads
        return self._naive_pruning({name: heads for name, heads in kept.items() if heads}, clean)

    def _naive_pruning(self, groups: dict[str, list], clean: Any) -> dict[str, list]:
        means, senders = self._naive_means(), {s["name"]: s["sender"] for s in self.settings["stages"]}
        arch, (n, n_tokens) = architecture(self.model), clean.input_ids.shape

        def accuracy(circuits: list[dict[str, list]]) -> list[float]:
            values = []
            for circuit in circuits:
                kept = torch.zeros(arch.n_layers, n, n_tokens, arch.n_heads, dtype=torch.bool)
                for name, heads in circuit.items():
                    for layer, head in heads:
                        kept[layer, torch.arange(n), clean.positions[senders[name]], head] = True
                lengths = clean.attention_mask.sum(1)
                logits = naive_circuit_logits(self.model, clean.input_ids, lengths, means, kept)
                values.append(float((logits.argmax(-1) == clean.answer_ids).double().mean()))
            return values

        threshold = self.settings["minimality"]["threshold"]
        return prune(groups, accuracy, threshold=threshold, order=list(groups)[::-1])

    def _naive_sweep(self) -> Tensor:
        prompts, means = self._encoded(self.mapping), self._naive_means()
        lengths, everywhere = prompts.attention_mask.sum(1), torch.ones_like(prompts.input_ids).bool()
        ids, answers = prompts.input_ids, prompts.answer_ids
        return naive_head_effects(self.model, ids, answers, means, lengths, everywhere)[0]

    def _naive_evaluation(self, heads: list) -> Tensor:
        arch, prompts, means = architecture(self.model), self._encoded(self.test), self._naive_means()
        heads = [tuple(head) for head in heads]
        full = torch.ones(arch.n_layers, arch.n_heads, dtype=torch.bool)
        circuits = [full, head_mask(arch, heads), *random_circuits(arch, heads, self.n_random, seed=0)]
        return torch.stack([self._naive_predictions(prompts, means, mask) for mask in circuits])

    def _naive_predictions(self, prompts: Any, means: Tensor, mask: Tensor) -> Tensor:
        tops = []
        for rows in torch.arange(len(prompts.input_ids)).split(BATCH):
            ids, lengths = prompts.input_ids[rows], prompts.attention_mask[rows].sum(1)
            kept = mask[:, None, None].expand(-1, *ids.shape, -1)
            tops.append(naive_circuit_logits(self.model, ids, lengths, means, kept).argmax(-1))
        return torch.cat(tops)


def _must_agree(engine: dict[str, Any], hooks: dict[str, Any]) -> None:
    """The same heads by stage, effects to 1e-4 (float32), and predictions on all but a few ties."""
    _, circuit = engine["search and pruning"]
    found = {name: [list(head) for head in heads] for name, heads in hooks["search and pruning"].items()}
    if {name: heads for name, heads in circuit["stages"].items() if name in found} != found:
        raise SystemExit(f"circuits differ: {circuit['stages']} and {found}")
    effects, _ = engine["ablation sweep"]
    mine = torch.tensor(effects.loc[effects["layer"] >= 0, "log_prob"].to_numpy())
    difference = float((mine - hooks["ablation sweep"].flatten()).abs().max())
    frame = engine["circuit evaluation"]
    correct = torch.tensor(frame[[name for name in frame if name.endswith("_correct")]].to_numpy())
    print(f"largest difference of an effect {difference:.1e}; {correct.float().mean(0)[:3].tolist()}")
    if difference > 1e-4:
        raise SystemExit("effects differ")


def _write(rows: list[Row], where: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    with open(RESULTS / "mini_family.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "step", "engine", "cpu_seconds"])
        writer.writerows(rows)
    lines = [
        f"Entity tracking, base models of the mini family, {where}; CPU seconds of one thread.",
        "",
        "| model | step | plain hooks | circuit engine | times faster |",
        "|---|---|---|---|---|",
    ]
    spent = {(role, step, engine): seconds for role, step, engine, seconds in rows}
    for (role, step, engine), seconds in spent.items():
        if engine == "circuit engine":
            hooks = spent.get((role, step, "plain hooks"))
            shown = ("not run", "") if hooks is None else (f"{hooks:.1f}", f"{hooks / seconds:.1f}")
            lines.append(f"| {role} | {step} | {shown[0]} | {seconds:.2f} | {shown[1]} |")
    (RESULTS / "mini_family.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
