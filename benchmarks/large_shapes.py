r"""Times the backward search on the shapes of Llama-3.2-1B, 3.2-3B and 3.1-8B, random weights.

1B, Value Fetcher stage, 32 prompts, on a CPU; with bfloat16 weights, and whether the same heads come first:

    python -m benchmarks.large_shapes
    python -m benchmarks.large_shapes --dtype bfloat16 --ranking

The whole search for 8B over 300 prompts on a GPU:

    python -m benchmarks.large_shapes --shape 8b --prompts 300 --stages 4 --device cuda --dtype bfloat16 \
        --memory-budget-mb 40000

Writes benchmarks/results/large_shapes_{shape}_{device}_{dtype}.md. Peak memory is that of the process (CPU)
or of the CUDA allocator. Half-precision weights are computed with in float32; on a GPU in TF32, whose peak
`--peak-tflops` names (H200: 494).
"""

from __future__ import annotations

import argparse
import math
import resource
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from benchmarks.setting import RESULTS, machine, random_prompts
from circuit_distillation.circuits.clean_runs import MEMORY_BUDGET_MB
from circuit_distillation.circuits.cost import forward_macs
from circuit_distillation.circuits.discovery import Discovery, discover
from circuit_distillation.circuits.settings import Stage

SHAPES = {
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "head_dim": 64,
        "tie_word_embeddings": True,
    },
    "3b": {
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "head_dim": 128,
        "tie_word_embeddings": True,
    },
    "8b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "head_dim": 128,
        "tie_word_embeddings": False,
    },
}
VOCABULARY, KV_HEADS, N_TOKENS = 128256, 8, 54
# As in conf/llama3.
STAGES = [
    Stage(name=name, sender=sender, receivers=receivers, receiver_input=which, n_heads=n, min_drop=0.0, z=3.0)
    for name, sender, receivers, which, n in (
        ("value_fetcher", "last", (), None, 58),
        ("position_transmitter", "last", ("value_fetcher",), "q", 10),
        ("position_detector", "query_label", ("position_transmitter",), "v", 25),
        ("structure_reader", "previous_label", ("position_detector",), "v", 5),
    )
]


def main() -> None:
    options = _options()
    where = machine() if options.device == "cpu" else torch.cuda.get_device_name()
    if options.device == "cuda":
        torch.set_float32_matmul_precision("high")
    model = _model(options.shape, options.device, getattr(torch, options.dtype))
    prompts = random_prompts(VOCABULARY, options.prompts, N_TOKENS)
    # The label of the queried box stands at one of seven places in the scene.
    positions = {"last": -1, "query_label": -3, "previous_label": 6 + 7 * (torch.arange(options.prompts) % 7)}
    ids = [ids.to(options.device) for ids in (prompts.clean, prompts.corrupt, prompts.answers)]
    search = {"progress": True, "memory_budget_mb": options.memory_budget_mb}
    start = time.perf_counter()
    found = discover(model, *ids, STAGES[: options.stages], positions, **search)
    elapsed, peak = time.perf_counter() - start, _peak_gib(options.device)
    overlap = None
    if options.ranking:
        del model
        model = _model(options.shape, options.device, torch.float32)
        full = discover(model, *ids, STAGES[:1], positions, **search)
        overlap = _overlap(*(run.stages["value_fetcher"].score for run in (found, full)))
    _write(options, where, found, elapsed, peak, _flops(model), overlap)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="1b")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--stages", type=int, default=1, help="of the four, from the Value Fetcher on")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the weights")
    parser.add_argument("--memory-budget-mb", type=float, default=MEMORY_BUDGET_MB)
    parser.add_argument("--peak-tflops", type=float, help="of the device: the fraction used is reported")
    parser.add_argument("--ranking", action="store_true", help="compare the ranking with float32 weights")
    return parser.parse_args()


def _model(shape: str, device: str, dtype: torch.dtype) -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=4096,
        dtype=dtype,
        **SHAPES[shape],
    )
    with torch.device(device):
        return LlamaForCausalLM(config).to(dtype).eval()


def _peak_gib(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _overlap(score: torch.Tensor, other: torch.Tensor) -> float:
    """Share of the heads among the first 5 % (lowest scores) in both, of scores [layer, head]."""
    n = math.ceil(0.05 * score.numel())
    first, second = (set(scores.flatten().argsort()[:n].tolist()) for scores in (score, other))
    return len(first & second) / n


def _flops(model: PreTrainedModel) -> float:
    """Floating-point operations of one forward-equivalent."""
    return 2 * forward_macs(model, N_TOKENS)


def _write(
    options: argparse.Namespace,
    where: str,
    found: Discovery,
    elapsed: float,
    peak: float,
    flops: float,
    overlap: float | None,
) -> None:
    cost = found.cost
    tflops = cost.forward_equivalents * flops / elapsed / 1e12
    lines = [
        f"Shape {options.shape}, {options.prompts} prompts of {N_TOKENS} tokens, {options.dtype} weights; "
        f"{where}.",
        "",
        "| stages | minutes | peak memory, GiB | forward-equivalents | naive forwards | TFLOP/s |",
        "|---|---|---|---|---|---|",
        f"| {', '.join(found.stages)} | {elapsed / 60:.2f} | {peak:.1f} | {cost.forward_equivalents:.0f} | "
        f"{cost.naive_forward_equivalents:.0f} | {tflops:.3f} |",
    ]
    if options.peak_tflops is not None:
        lines += ["", f"That is {tflops / options.peak_tflops:.0%} of {options.peak_tflops:.0f} TFLOP/s."]
    if overlap is not None:
        lines += ["", f"Of the first 5 % of heads, {overlap:.0%} are the same as with float32 weights."]
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"large_shapes_{options.shape}_{options.device}_{options.dtype}.md"
    path.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
