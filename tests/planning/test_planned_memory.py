"""The memory a plan foresees against what autograd keeps and what an optimizer holds."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from circuit_distillation.circuits.block import SCRATCH_BYTES
from circuit_distillation.circuits.clean_runs import MEMORY_BUDGET_MB
from circuit_distillation.planning.memory import (
    Batch,
    activation_bytes,
    copied_bytes,
    inference_bytes,
    training_bytes,
)
from circuit_distillation.planning.shapes import Shape, shape_of

CONFIG = {
    "hidden_size": 256,
    "intermediate_size": 1024,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 2000,
}


def kept_for_the_backward(model, ids, bf16: bool) -> int:
    """Bytes of distinct storages, other than weights, that the graph holds after a forward with its loss."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, tuple[int, torch.Tensor]] = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
            logits = model.lm_head(hidden[:, -1])
            loss = torch.nn.functional.cross_entropy(logits.float(), ids[:, 0])
    assert loss.requires_grad
    matrices = [p for p in model.parameters() if p.ndim == 2]
    shapes = {tuple(p.shape) for p in matrices} | {tuple(p.T.shape) for p in matrices}
    copies = {
        tensor.untyped_storage().data_ptr() for _, tensor in kept.values() if tuple(tensor.shape) in shapes
    }
    return sum(
        size for place, (size, _) in kept.items() if place not in copies
    )  # autocast's copies of weights


@pytest.mark.parametrize("bf16", [False, True])
def test_activations_are_those_that_autograd_keeps(tmp_path, bf16):
    model = LlamaForCausalLM(LlamaConfig(**CONFIG, attn_implementation="sdpa"))
    model.config.save_pretrained(tmp_path)
    ids = torch.arange(6 * 48).reshape(6, 48)
    measured = kept_for_the_backward(model, ids, bf16)
    # The logits' gradient comes with the backward: here only they and their softmax are kept.
    planned = activation_bytes(
        shape_of(tmp_path / "config.json"), Batch(6, 48, 0), bf16=bf16, recomputes=False
    )
    assert planned == pytest.approx(measured, rel=0.15)


def test_training_memory_by_hand():
    shape, batch = Shape(2, 2, 1, 4, 8, 10, 20, tied=False), Batch(1, 1, 0)
    n, plain = shape.parameters, {"dtype": "float32", "bf16": False, "recomputes": False, "device": "cpu"}
    kept = activation_bytes(shape, batch, bf16=False, recomputes=False)
    roots = 8 * 20 * 8  # of the embedding, twice
    assert training_bytes(shape, n, batch, **plain) == 12 * n + max(kept, 4 * n + roots)
    assert training_bytes(shape, n, batch, **plain, accumulates=True) == 16 * n + max(kept, roots)
    large = Batch(100, 10, 0)
    kept_more = activation_bytes(shape, large, bf16=False, recomputes=False)
    assert kept_more > 8 * n
    assert training_bytes(shape, n, large, **plain) == 12 * n + kept_more
    assert training_bytes(shape, n, large, **plain, shards=4) == 3 * n + kept_more
    on_gpu = training_bytes(shape, n, batch, **plain | {"device": "cuda"})
    assert on_gpu == 12 * n + max(kept, 8 * n) + 2**29
    # A few weights beside those of half precision: a copy, two moments, in float32.
    half = plain | {"dtype": "bfloat16", "bf16": True}
    kept = activation_bytes(shape, large, bf16=True, recomputes=False)
    assert training_bytes(shape, 100, large, **half) == 2 * n + 12 * 100 + kept
    whole = training_bytes(shape, n, large, **half)  # these train in float32, with copies
    assert whole == 12 * n + kept + copied_bytes(shape, trains_all=True, recomputes=False)


def test_autocast_copies_by_hand():
    shape = Shape(2, 2, 1, 4, 8, 10, 20, tied=False)
    layer, unembedding = shape.layer_parameters, 20 * 8
    assert copied_bytes(shape, trains_all=True, recomputes=True) == 2 * (2 * layer + unembedding)
    assert copied_bytes(shape, trains_all=False, recomputes=False) == 2 * (2 * layer + unembedding)
    assert copied_bytes(shape, trains_all=False, recomputes=True) == 2 * (layer + unembedding)
    batch = Batch(1, 1, 0)
    options = {"dtype": "float32", "recomputes": False}
    under = training_bytes(shape, 5, batch, bf16=True, **options) - activation_bytes(
        shape, batch, bf16=True, recomputes=False
    )
    plain = training_bytes(shape, 5, batch, bf16=False, **options) - activation_bytes(
        shape, batch, bf16=False, recomputes=False
    )
    assert under - plain == copied_bytes(shape, trains_all=False, recomputes=False)


def test_a_sweep_holds_weights_and_what_the_engine_may_take():
    shape = Shape(2, 2, 1, 4, 8, 10, 20, tied=False)
    cpu, cuda = (inference_bytes(shape, "bfloat16", device) for device in ("cpu", "cuda"))
    assert cpu == 2 * shape.parameters + MEMORY_BUDGET_MB * 2**20 + SCRATCH_BYTES["cpu"]
    assert cuda - cpu == SCRATCH_BYTES["cuda"] - SCRATCH_BYTES["cpu"] + 2**29
