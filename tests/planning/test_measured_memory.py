"""The planned memory of training against the allocator's own record, on a small shape."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from naive.allocations import peak_bytes
from processors import needs_bfloat16_attention
from standins import train_bpe
from training.distillation_case import settings
from transformers import LlamaConfig, LlamaForCausalLM

from circuit_distillation.models.encoding import Encoded
from circuit_distillation.planning.memory import Batch, training_bytes
from circuit_distillation.planning.shapes import Shape
from circuit_distillation.tasks.corpus import Instruction
from circuit_distillation.training.distill import distill
from circuit_distillation.training.finetuning import finetune
from circuit_distillation.training.finetuning_settings import FineTuneSettings, LoraSettings
from circuit_distillation.training.teacher_cache import TeacherSignals, data_hash
from circuit_distillation.training.tuning_tokens import tokenise

SHAPE = Shape(4, 8, 2, 32, 256, 768, 1200, tied=True)
HEADS = [(layer, head) for layer in range(4) for head in (1, 6)]
N, N_TOKENS = 32, 40
SLOW = partial(pytest.param, marks=pytest.mark.slow)


def small_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=SHAPE.vocab_size,
        hidden_size=SHAPE.d_model,
        intermediate_size=SHAPE.d_mlp,
        num_hidden_layers=SHAPE.n_layers,
        num_attention_heads=SHAPE.n_heads,
        num_key_value_heads=SHAPE.n_kv_heads,
        head_dim=SHAPE.d_head,
        tie_word_embeddings=SHAPE.tied,
    )
    return LlamaForCausalLM(config).eval()


def held(model, train) -> int:
    """Bytes of a model's weights and of all that its training holds at once."""
    return sum(parameter.nbytes for parameter in model.parameters()) + peak_bytes(train)


def split(n: int) -> Encoded:
    ids = torch.arange(n * N_TOKENS).reshape(n, N_TOKENS) * 7 % SHAPE.vocab_size
    last = torch.full((n,), N_TOKENS - 1)
    return Encoded(ids, torch.ones_like(ids), {"last": last}, ids[:, 3], ids[:, :2])


@pytest.mark.parametrize("precision", [SLOW("fp32"), "bf16"])
@pytest.mark.parametrize("arm", ["full_ce", "circuit_ce_align_cka"])
def test_students_hold_what_is_planned(arm, precision):
    model, train = small_model(), split(N)
    features = {head: torch.randn(N, 1, 16) for head in HEADS}
    signals = TeacherSignals(train.answer_ids, None, features, "last", "", data_hash(train, "last"))
    chosen = settings(arm, batch_size=N, epochs=2, evaluate_every=9, precision=precision)
    options = dict(heads=HEADS, pairs=[(head, head) for head in HEADS], settings=chosen)
    measured = held(model, lambda: distill(model, train, split(2), signals, **options, progress_bar=False))
    trained = SHAPE.parameters if arm == "full_ce" else SHAPE.head_parameters(len(HEADS) / 32)
    bf16 = precision == "bf16"
    how = {"dtype": "float32", "bf16": bf16, "recomputes": False, "device": "cpu"}
    planned = training_bytes(SHAPE, trained, Batch(N, N_TOKENS, N), **how)
    assert planned == pytest.approx(measured, rel=0.15)


@needs_bfloat16_attention
@pytest.mark.parametrize("recomputes", [SLOW(False), True])
@pytest.mark.parametrize("method", [SLOW("full"), "lora"])
def test_tuning_holds_what_is_planned(method, recomputes, tmp_path):
    model, tokenizer = small_model(), train_bpe(1100)
    items = [Instruction("k", f"Say the word number {k} of the list.", f" {k}" * 20, "") for k in range(N)]
    corpus = tokenise(tokenizer, items, 200)
    chosen = FineTuneSettings(
        method=method,
        epochs=2,
        batch_size=N,
        max_tokens=200,
        warmup_steps=0,
        learning_rate=2e-5,
        schedule="cosine",
        weight_decay=0.0,
        clip_norm=1.0,
        micro_batch_size=N // 2,
        precision="bf16",
        gradient_checkpointing=recomputes,
        checkpoint_every=200,
        lora=LoraSettings(rank=8, alpha=64.0, dropout=0.05, targets=("q_proj", "k_proj", "v_proj", "o_proj")),
    )
    measured = held(model, lambda: finetune(model, tokenizer, items, chosen, tmp_path))
    lora = SHAPE.lora_parameters(chosen.lora.rank, chosen.lora.targets)
    longest = int(corpus.lengths.max())
    batch = Batch(N // 2, longest, int((corpus.lengths - corpus.prompt_lengths).sum()) // 2)
    how = {"dtype": "float32", "bf16": True, "recomputes": recomputes, "accumulates": True, "device": "cpu"}
    planned = training_bytes(SHAPE, SHAPE.parameters if method == "full" else lora, batch, **how)
    assert planned == pytest.approx(measured, rel=0.15)
