"""Peak memory of a stage on one device in bytes: weights, gradients, optimizer, activations, logits.

The memory of the device's runtime is counted only for GPUs.
"""

from __future__ import annotations

from dataclasses import dataclass

from circuit_distillation.circuits.block import SCRATCH_BYTES
from circuit_distillation.circuits.clean_runs import MEMORY_BUDGET_MB
from circuit_distillation.planning.shapes import Shape

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
CONTEXT_BYTES = {"cpu": 0, "cuda": 2**29}


@dataclass(frozen=True)
class Batch:
    """What one forward and backward holds: sequences, their padded length, positions that are unembedded."""

    n_sequences: int
    n_tokens: int
    n_unembedded: int


def activation_bytes(shape: Shape, batch: Batch, *, bf16: bool, recomputes: bool) -> float:
    """What autograd keeps for the backward, logits included.

    A layer keeps, a token: the inputs of two norms and their normalised values (float32 under autocast), the
    inputs of q, k, v, of gate and up, the queries, keys and values before and after rotation, the attention's
    output, and four MLP-wide tensors. Recomputing keeps the input of every layer and all of one layer.
    """
    size = 2 if bf16 else 4
    query, key = shape.n_heads * shape.d_head, shape.n_kv_heads * shape.d_head
    norms = 4 * 4 * shape.d_model
    inputs = 2 * size * shape.d_model if bf16 else 0  # autocast makes copies; float32 keeps the norm's output
    attention = size * (query + key + (query + key) + 2 * key + query)
    layer = norms + inputs + attention + size * 4 * shape.d_mlp
    n_tokens = batch.n_sequences * batch.n_tokens
    kept = shape.n_layers * 4 * shape.d_model + layer if recomputes else shape.n_layers * layer
    logits = batch.n_unembedded * shape.vocab_size * (4 + 4 + (size if bf16 else 0))
    return n_tokens * kept + logits


def copied_bytes(shape: Shape, *, trains_all: bool, recomputes: bool) -> float:
    """bfloat16 copies of float32 matrices under autocast, which the backward needs.

    Those of trained weights are kept until the forward ends, of frozen ones in a layer that is computed again
    until that layer ends.
    """
    n_layers = 1 if recomputes and not trains_all else shape.n_layers
    return 2.0 * (n_layers * shape.layer_parameters + shape.vocab_size * shape.d_model)


def training_bytes(
    shape: Shape,
    trained: int,
    batch: Batch,
    *,
    dtype: str,
    bf16: bool,
    recomputes: bool,
    accumulates: bool = False,
    shards: int = 1,
    device: str = "cuda",
) -> float:
    """Weights, gradients and two moments of the `trained` ones; autocast's copies; activations.

    All weights train in float32, a few (heads, adapters) as float32 beside the rest. The gradients come while
    the activations go, so that only the larger of both counts, unless a step `accumulates` over batches. The
    optimizer then holds the square roots of all second moments at once (a CPU two copies of one matrix). All
    but activations is divided by `shards`.
    """
    trains_all = trained == shape.parameters
    size = 4 if trains_all else BYTES[dtype]
    fixed = shape.parameters * size + (8 if trains_all else 12) * trained
    gradients, roots = 4 * trained, 4 * trained
    if device == "cpu":
        roots = 8 * shape.vocab_size * shape.d_model if trains_all else 0
    copies = 0.0
    if bf16 and size == 4:
        copies = copied_bytes(shape, trains_all=trains_all, recomputes=recomputes) / shards
    forward = copies + activation_bytes(shape, batch, bf16=bf16, recomputes=recomputes)
    if accumulates:
        forward += gradients / shards
    return fixed / shards + max(forward, (gradients + roots) / shards) + CONTEXT_BYTES[device]


def inference_bytes(shape: Shape, dtype: str, device: str = "cuda") -> float:
    """Forwards and sweeps: the weights, the circuit engine's budget and its scratch."""
    engine = MEMORY_BUDGET_MB * 2**20 + SCRATCH_BYTES[device]
    return shape.parameters * BYTES[dtype] + engine + CONTEXT_BYTES[device]
