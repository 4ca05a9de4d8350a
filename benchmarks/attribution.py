r"""Attribution patching beside the exact search: how far the scores agree, and the time of both.

Of every base and tuned model of a run (`make run`), by its prompts and its stored exact scores:

    python -m benchmarks.attribution --data data

The backward search of a model of the shape of Qwen2.5-0.5B with random weights, of which only the times mean
anything:

    python -m benchmarks.attribution --shape

Times are CPU seconds of one thread. CPR and CMD are MIB's, of the answer's mean log-probability on the
discovery prompts. Writes benchmarks/results/attribution.{csv,md} and attribution_shape.md.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM

from benchmarks.setting import RESULTS, Prompts, cpu_seconds, machine, random_prompts
from circuit_distillation.circuits.attribution import attribute_heads, interpolated_runs
from circuit_distillation.circuits.cost import counted, forward_macs
from circuit_distillation.circuits.discovery import discover
from circuit_distillation.circuits.effects import layout_attributions, layout_effects
from circuit_distillation.circuits.mean_ablation import head_means
from circuit_distillation.circuits.path_patching import score_heads
from circuit_distillation.circuits.rankings import cpr_cmd, rank_correlation, top_overlap
from circuit_distillation.circuits.settings import ATTRIBUTION_STEPS, Stage
from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import architecture
from circuit_distillation.models.encoding import encode
from circuit_distillation.models.layouts import paired_layouts
from circuit_distillation.models.loading import load_checkpoint
from circuit_distillation.tasks.example import from_frame

ROOT = Path(__file__).parents[1]
METHODS = {"exact": None, **ATTRIBUTION_STEPS}
N_TOKENS, N_PROMPTS = 54, 1
# Sender, receivers and their input: the strongest heads of Qwen2.5-Coder-0.5B on entity tracking.
RECEIVERS: tuple[tuple[str, list[Head] | None, str | None], ...] = (
    ("last", None, None),
    ("last", [(20, 12), (21, 1), (21, 11), (23, 10), (23, 11)], "q"),
    ("query_label", [(12, 7), (14, 2), (14, 5), (14, 7), (15, 0)], "v"),
    ("previous_label", [(9, 8), (9, 10), (11, 12), (13, 0), (13, 2)], "v"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--roles", nargs="+", default=["small", "medium", "large"])
    parser.add_argument("--shape", action="store_true", help="time the shape of Qwen2.5-0.5B")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.shape:
        _time_shape()
        return
    rows: list[dict[str, Any]] = []
    for task, case in (("entity", _Stages), ("tom", _Ablations)):
        for role in options.roles:
            for kind in ("base", "tuned"):
                rows += case(options.data, f"mini/seed{options.seed}/{task}", role, kind).rows()
                print(pd.DataFrame(rows[-3:]).to_string(index=False), flush=True)
    _write(pd.DataFrame(rows))


class _Case:
    """One model with the discovery prompts and the stored scores of its run."""

    def __init__(self, data: Path, run: str, role: str, kind: str):
        self.names = {"task": run.rsplit("/", 1)[1], "model": f"{role} {kind}"}
        stored = data / "05_model_input" / run / f"{role}_{kind}"
        scores = pd.read_parquet(f"{stored}_head_scores.parquet").sort_values(["stage", "layer", "head"])
        self.circuit = json.loads(Path(f"{stored}_circuit.json").read_text())
        n_heads = scores["head"].max() + 1
        grids = {stage: torch.tensor(part["score"].to_numpy()) for stage, part in scores.groupby("stage")}
        self.stored = {stage: values.view(-1, n_heads) for stage, values in grids.items()}
        model = data / "06_models" / run / kind / role
        checkpoint = load_checkpoint(model, attention="eager")
        self.model, n = checkpoint.model, self.circuit["n_examples"]
        self.clean, self.corrupt, self.means = (
            encode(
                checkpoint.tokenizer,
                from_frame(pd.read_parquet(data / "03_primary" / run / f"{name}.parquet")),
            )
            for name in ("discovery", "discovery_corrupt", "means")
        )
        self.clean, self.corrupt = (_first(prompts, n) for prompts in (self.clean, self.corrupt))

    def rows(self) -> list[dict[str, Any]]:
        """For each method: agreement with the stored exact scores, by stage and joined, time, CPR and CMD."""
        rows = []
        exact = _joined(self.stored)
        for method, steps in METHODS.items():
            scores: dict[str, Tensor] = {}
            seconds = cpu_seconds(lambda: scores.update(self.scores(steps)))  # noqa: B023
            row = {**self.names, "method": method, "cpu_seconds": seconds}
            if method != "exact":
                row |= {
                    f"rho_{stage}": rank_correlation(scores[stage], self.stored[stage]) for stage in scores
                }
            else:
                difference = max(float((scores[stage] - self.stored[stage]).abs().max()) for stage in scores)
                assert difference < 1e-3, f"the stored scores are of other prompts or weights: {difference}"
            ranked, k = _joined(scores), max(1, len(self.circuit["heads"]))
            row |= {"k": k, "overlap": top_overlap(ranked, exact, k), "rho": rank_correlation(ranked, exact)}
            rows.append(row | dict(zip(("cpr", "cmd"), self.faithfulness(ranked), strict=True)))
        return rows

    def scores(self, steps: int | None) -> dict[str, Tensor]:
        """By stage, [layer, head]."""
        raise NotImplementedError

    def faithfulness(self, scores: Tensor) -> list[float]:
        """CPR and CMD, the mean over layouts weighted by their prompts."""
        total, n = torch.zeros(2, dtype=torch.float64), len(self.clean.input_ids)
        for layout, theirs in paired_layouts(self.clean, self.means):
            part, means = layout.encoded, head_means(self.model, theirs.encoded.input_ids)
            found = cpr_cmd(self.model, part.input_ids, part.answer_ids, scores, means)
            total += torch.tensor(found, dtype=torch.float64) * len(layout.rows) / n
        return total.tolist()


class _Stages(_Case):
    """The stages of a backward search, each with the receivers that the same scores found."""

    def scores(self, steps: int | None) -> dict[str, Tensor]:
        asked = [Stage(**stage) for stage in self.circuit["parameters"]["stages"]]
        ids = (self.clean.input_ids, self.corrupt.input_ids, self.clean.answer_ids)
        found = discover(
            self.model,
            *ids,
            asked,
            self.clean.positions,
            corrupt_positions=self.corrupt.positions,
            score="log_prob",
            attribution_steps=steps,
        )
        return {name: stage.score for name, stage in found.stages.items()}


class _Ablations(_Case):
    """Mean ablation of every head."""

    def scores(self, steps: int | None) -> dict[str, Tensor]:
        if steps is None:
            effects = layout_effects(self.model, self.clean, self.means)
            moves = effects.log_prob - effects.base_log_prob
        else:
            moves = layout_attributions(self.model, self.clean, self.means, steps)
        return {"mean_ablation": -moves.abs().double().mean(-1)}


def _first(prompts: Any, n: int) -> Any:
    cut = {name: value[:n] for name, value in vars(prompts).items() if isinstance(value, Tensor)}
    places = {role: at[:n] for role, at in prompts.positions.items()}
    return type(prompts)(**cut, positions=places)


def _joined(stages: dict[str, Tensor]) -> Tensor:
    """One score of each head, [layer, head]: the lowest of all stages."""
    return torch.stack(list(stages.values())).amin(dim=0)


def _write(frame: pd.DataFrame) -> None:
    RESULTS.mkdir(exist_ok=True)
    frame.round(4).to_csv(RESULTS / "attribution.csv", index=False)
    shown = ["cpu_seconds", *(name for name in frame if name.startswith("rho")), "overlap", "cpr", "cmd"]
    lines = [f"Mini family, {machine()}; medians over the base and tuned models (least, most).", ""]
    for task, part in frame.groupby("task"):
        columns = [name for name in shown if part[name].notna().any()]
        lines += [f"| {task} | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
        for method in METHODS:
            cells = [_spread(part.loc[part["method"] == method, name]) for name in columns]
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        lines.append("")
    (RESULTS / "attribution.md").write_text("\n".join(lines))
    print("\n".join(lines))


def _spread(values: pd.Series) -> str:
    values = values.dropna()
    if values.empty:
        return ""
    return f"{values.median():.2f} ({values.min():.2f}, {values.max():.2f})"


def _time_shape() -> None:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=151936,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    model = Qwen2ForCausalLM(config).eval()
    prompts = random_prompts(config.vocab_size, N_PROMPTS, N_TOKENS)
    positions = {"last": -1, "query_label": -3, "previous_label": 6}
    lines = [
        f"The shape of Qwen2.5-0.5B ({architecture(model).n_total_heads} heads), random weights, "
        f"four stages, {N_PROMPTS} prompt(s) of {N_TOKENS} tokens, {machine()}.",
        "",
        "| scores | CPU seconds | forward-equivalents a prompt | times faster |",
        "|---|---|---|---|",
    ]
    model(prompts.clean[:1])  # reads the weights once
    spent: dict[str, float] = {}
    forwards: dict[str, float] = {}
    for method, steps in reversed(METHODS.items()):  # the exact search takes longest
        start = time.process_time()
        with counted() as cost:
            _search(model, prompts, positions, steps)
        spent[method] = time.process_time() - start
        forwards[method] = cost.macs / forward_macs(model, N_TOKENS) / N_PROMPTS
        print(method, spent[method], forwards[method], flush=True)
    for method in METHODS:
        faster = spent["exact"] / spent[method]
        lines.append(f"| {method} | {spent[method]:.1f} | {forwards[method]:.1f} | {faster:.1f} |")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "attribution_shape.md").write_text("\n".join(lines) + "\n")


def _search(model: Any, prompts: Prompts, positions: dict[str, int], steps: int | None) -> None:
    """The four stages, scored by `steps` gradients or (None) exactly; all share the recorded runs."""
    first = min(position % N_TOKENS for position in positions.values())
    starts = {"clean_start": first, "corrupt_start": first}
    runs = interpolated_runs(model, prompts.clean, prompts.corrupt, steps or 1, **starts)
    for at, receivers, which in RECEIVERS:
        given = (model, prompts.clean, prompts.corrupt, prompts.answers, positions[at])
        path: dict[str, Any] = {"receivers": receivers, "receiver_input": which}
        if steps is None:
            score_heads(*given, **path, score="log_prob", runs=runs[0])
        else:
            attribute_heads(*given, **path, runs=runs)


if __name__ == "__main__":
    main()
