"""The planned memory against the measured, on the shape of Llama-3.2-1B with random weights, on a CPU.

    python -m benchmarks.memory_plan

Every stage runs in a process of its own; measured is the peak of its resident memory, less what the
interpreter and its libraries held before the model was made. Writes benchmarks/results/memory_plan.md.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from dataclasses import dataclass, replace

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from benchmarks.large_shapes import KV_HEADS, N_TOKENS, SHAPES, STAGES, VOCABULARY
from benchmarks.setting import RESULTS, machine, random_prompts
from circuit_distillation.arms import ARMS
from circuit_distillation.circuits.discovery import discover
from circuit_distillation.models.encoding import Encoded
from circuit_distillation.planning.memory import Batch, inference_bytes, training_bytes
from circuit_distillation.planning.shapes import KNOWN, Shape
from circuit_distillation.training.arm_settings import arm_settings
from circuit_distillation.training.distill import distill
from circuit_distillation.training.teacher_cache import TeacherSignals, data_hash

SHAPE = KNOWN["meta-llama/Llama-3.2-1B"]
SHARE = 0.11  # of the heads; the paper's, for entity tracking
TEACHER_HEAD = 128  # width of a head of the 8B model
STEPS = 2


@dataclass(frozen=True)
class Case:
    """One stage. All weights of all 16 layers with their gradients and moments need more than 16 GB."""

    name: str
    n_layers: int
    n_prompts: int

    @property
    def shape(self) -> Shape:
        return replace(SHAPE, n_layers=self.n_layers)


CASES = {
    "discovery": Case("discovery, first stage", 16, 4),
    "circuit_ce_align_cka": Case("training, circuit_ce_align_cka", 16, 4),
    "full_ce": Case("training, full_ce", 4, 4),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", choices=CASES, help="run this one here and print its peak in bytes")
    options = parser.parse_args()
    if options.case:
        print(_peak(options.case))
        return
    measured = {name: _in_process(name) for name in CASES}
    _write(measured)


def _in_process(name: str) -> int:
    command = [sys.executable, "-m", "benchmarks.memory_plan", "--case", name]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])


def _peak(name: str) -> int:
    """Bytes of resident memory at the peak of a stage, beyond those before the model is made."""
    before = _resident()
    case = CASES[name]
    model = _model(case.n_layers)
    if name == "discovery":
        _discover(model, case.n_prompts)
    else:
        _train(model, name, case)
    return _resident() - before


def _resident() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _model(n_layers: int) -> PreTrainedModel:
    """The first layers of the 1B shape, in float32."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=4096,
        **SHAPES["1b"] | {"num_hidden_layers": n_layers},
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model.to_empty(device="cpu")
    torch.manual_seed(0)
    drawn = torch.empty(2**20 + 7).uniform_(-0.03, 0.03)  # repeated: values are of no account here
    with torch.no_grad():
        for parameter in model.parameters():
            for part in parameter.view(-1).split(len(drawn)):
                part.copy_(drawn[: len(part)])
    model.tie_weights()
    model.model.rotary_emb.__init__(config)  # its frequencies are no parameters
    return model.eval()


def _discover(model: PreTrainedModel, n_prompts: int) -> None:
    prompts = random_prompts(VOCABULARY, n_prompts, N_TOKENS)
    discover(model, prompts.clean, prompts.corrupt, prompts.answers, STAGES[:1], {"last": -1})


def _train(model: PreTrainedModel, arm: str, case: Case) -> None:
    """`STEPS` steps of an arm on labels and head outputs that stand in for a teacher's."""
    n_prompts, n_heads = case.n_prompts, int(SHARE * case.n_layers * SHAPE.n_heads)
    heads = [divmod(9 * index, SHAPE.n_heads) for index in range(n_heads)]  # in every layer
    train, validation = _split(n_prompts * STEPS), _split(2)
    features = {head: torch.randn(n_prompts * STEPS, 1, TEACHER_HEAD) for head in heads}
    signals = TeacherSignals(train.answer_ids, None, features, "last", "", data_hash(train, "last"))
    options = dict(epochs=1, batch_size=n_prompts, precision="bf16", evaluate_every=STEPS, warmup_steps=0)
    settings = arm_settings(ARMS[arm], options, seed=0)
    pairs = [(head, head) for head in heads]
    chosen = dict(heads=heads, pairs=pairs, settings=settings, progress_bar=False)
    distill(model, train, validation, signals, **chosen)


def _split(n: int) -> Encoded:
    prompts = random_prompts(VOCABULARY, n, N_TOKENS)
    last = torch.full((n,), N_TOKENS - 1)
    candidates = prompts.answers[:, None]
    return Encoded(prompts.clean, torch.ones_like(prompts.clean), {"last": last}, prompts.answers, candidates)


def _planned(name: str) -> float:
    case = CASES[name]
    if name == "discovery":
        return inference_bytes(case.shape, "float32", "cpu")
    trained = case.shape.parameters if name.startswith("full") else case.shape.head_parameters(SHARE)
    batch = Batch(case.n_prompts, N_TOKENS, case.n_prompts)
    options = {"dtype": "float32", "bf16": True, "recomputes": False, "device": "cpu"}
    return training_bytes(case.shape, trained, batch, **options)


def _write(measured: dict[str, int]) -> None:
    lines = [
        f"Shape of Llama-3.2-1B, random float32 weights, {STEPS} steps of training under bfloat16 autocast, "
        f"prompts of {N_TOKENS} tokens; {machine()}.",
        "Not measured on a GPU.",
        "",
        "| stage | layers | prompts at once | planned, GB | measured, GB | planned over measured |",
        "|:---|---:|---:|---:|---:|---:|",
    ]
    for name, peak in measured.items():
        case, planned = CASES[name], _planned(name)
        lines.append(
            f"| {case.name} | {case.n_layers} | {case.n_prompts} | {planned / 1e9:.2f} | {peak / 1e9:.2f} "
            f"| {planned / peak - 1:+.0%} |"
        )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "memory_plan.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
