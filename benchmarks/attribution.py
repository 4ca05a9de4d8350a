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

from benchmarks.setting import RESULTS, cpu_seconds, machine, random_prompts
from circuit_distillation.circuits.attribution import attribute_heads, interpolated_runs
from circuit_distillation.circuits.clean_runs import RecordedRuns
from circuit_distillation.circuits.discovery import discover
from circuit_distillation.circuits.effects import layout_attributions, layout_effects
from circuit_distillation.circuits.mean_ablation import head_means
from circuit_distillation.circuits.rankings import cpr_cmd, rank_correlation, top_overlap
from circuit_distillation.circuits.settings import ATTRIBUTION_STEPS, Stage
from circuit_distillation.models.architecture import architecture
from circuit_distillation.models.encoding import encode
from circuit_distillation.models.layouts import paired_layouts
from circuit_distillation.models.loading import load_checkpoint
from circuit_distillation.tasks.example import from_frame

ROOT = Path(__file__).parents[1]
METHODS = {"exact": None, **ATTRIBUTION_STEPS}
N_TOKENS, N_PROMPTS = 54, 1


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
        """By stage, [layer, head]: what is timed."""
        raise NotImplementedError

    def approximated(self, scores: dict[str, Tensor], steps: int) -> dict[str, Tensor]:
        """The same by stage, of the receivers of the exact search."""
        return scores

    def faithfulness(self, scores: Tensor) -> list[float]:
        """CPR and CMD, the mean over layouts weighted by their prompts."""
        total, n = torch.zeros(2, dtype=torch.float64), len(self.clean.input_ids)
        for layout, theirs in paired_layouts(self.clean, self.means):
            part, means = layout.encoded, head_means(self.model, theirs.encoded.input_ids)
            found = cpr_cmd(self.model, part.input_ids, part.answer_ids, scores, means)
            total += torch.tensor(found, dtype=torch.float64) * len(layout.rows) / n
        return total.tolist()


class _Stages(_Case):
    """The stages of a backward search; receivers are those of the exact search."""

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
        if steps is None:
            self.kept = {name: stage.heads for name, stage in found.stages.items()}
        return {name: stage.score for name, stage in found.stages.items()}

    def approximated(self, scores: dict[str, Tensor], steps: int) -> dict[str, Tensor]:
        ids = (self.clean.input_ids, self.corrupt.input_ids)
        runs = interpolated_runs(self.model, *ids, steps)
        asked = [Stage(**stage) for stage in self.circuit["parameters"]["stages"]]
        return {stage.name: self._stage(stage, ids, runs) for stage in asked}

    def _stage(self, stage: Stage, ids: tuple[Tensor, Tensor], runs: list[RecordedRuns]) -> Tensor:
        receivers = sorted({head for name in stage.receivers for head in self.kept[name]})
        if stage.receivers and not receivers:
            return torch.zeros_like(self.stored[stage.name])
        scores = attribute_heads(
            self.model,
            *ids,
            self.clean.answer_ids,
            self.clean.positions[stage.sender],
            corrupt_position=self.corrupt.positions[stage.sender],
            receivers=receivers or None,
            receiver_input=stage.receiver_input,
            runs=runs,
        )
        return scores.double().mean(-1)


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
    steps = (
        ("value_fetcher", "last", (), None, 15),
        ("position_transmitter", "last", ("value_fetcher",), "q", 10),
        ("position_detector", "query_label", ("position_transmitter",), "v", 10),
        ("structure_reader", "previous_label", ("position_detector",), "v", 5),
    )
    stages = [
        Stage(name=name, sender=at, receivers=from_, receiver_input=which, n_heads=n, min_drop=0.0, z=0.0)
        for name, at, from_, which, n in steps
    ]
    positions = {"last": -1, "query_label": -3, "previous_label": 6 + 7 * torch.arange(N_PROMPTS)}
    lines = [
        f"The shape of Qwen2.5-0.5B ({architecture(model).n_total_heads} heads), random weights, "
        f"four stages, {N_PROMPTS} prompt(s) of {N_TOKENS} tokens, {machine()}.",
        "",
        "| scores | CPU seconds | forward-equivalents a prompt | times faster |",
        "|---|---|---|---|",
    ]
    spent: dict[str, float] = {}
    forwards: dict[str, float] = {}
    for method in reversed(METHODS):  # the exact search takes longest
        start = time.process_time()
        found = discover(
            model,
            prompts.clean,
            prompts.corrupt,
            prompts.answers,
            stages,
            positions,
            score="log_prob",
            attribution_steps=METHODS[method],
        )
        spent[method] = time.process_time() - start
        forwards[method] = found.cost.forward_equivalents / N_PROMPTS
        print(method, spent[method], forwards[method], flush=True)
    for method in METHODS:
        faster = spent["exact"] / spent[method]
        lines.append(f"| {method} | {spent[method]:.1f} | {forwards[method]:.1f} | {faster:.1f} |")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "attribution_shape.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
