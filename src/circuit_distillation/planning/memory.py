"""Peak memory of a stage on one GPU in bytes: weights, gradients, optimizer, activations, logits."""

from __future__ import annotations

from dataclasses import dataclass

from circuit_distillation.planning.shapes import Shape

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
SWEEP_BYTES = 2**30 * 3  # the circuit engine's budget, its scratch, and room for the allocator
CONTEXT_BYTES = 2**30 // 2  # what CUDA itself takes


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


def training_bytes(
    shape: Shape, trained: int, batch: Batch, *, dtype: str, bf16: bool, recomputes: bool, shards: int = 1
) -> float:
    """Weights; gradients and two moments of the `trained` ones (float32); autocast's copies; activations.

    Weights, gradients and moments are divided by `shards`, activations are not.
    """
    weights = shape.parameters * BYTES[dtype]
    copies = 2 * trained if bf16 and BYTES[dtype] == 4 else 0
    state = (
        12 * trained if trained == shape.parameters else 16 * trained
    )  # few weights are kept beside the rest
    activations = activation_bytes(shape, batch, bf16=bf16, recomputes=recomputes)
    return (weights + state + copies) / shards + activations + CONTEXT_BYTES


def inference_bytes(shape: Shape, dtype: str) -> float:
    """Forwards and sweeps: the weights and the engine's budget."""
    return shape.parameters * BYTES[dtype] + SWEEP_BYTES + CONTEXT_BYTES
