"""Tuning on a corpus: against a plain loop, after a kill, and what it refuses."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from naive.tiny_models import tiny_model
from standins import train_bpe

from circuit_distillation.tasks import arithmetic
from circuit_distillation.tasks.corpus import Instruction
from circuit_distillation.training.finetuning import ResponseLoss, finetune
from circuit_distillation.training.finetuning_launch import finetune_in_processes
from circuit_distillation.training.finetuning_settings import FineTuneSettings, LoraSettings
from circuit_distillation.training.tuning_scores import tuning_scores
from circuit_distillation.training.tuning_tokens import batch_of, micro_batches, step_items, tokenise

SETTINGS = FineTuneSettings(
    method="full",
    epochs=2,
    batch_size=4,
    max_tokens=60,
    warmup_steps=1,
    learning_rate=1e-3,
    schedule="cosine",
    weight_decay=0.0,
    clip_norm=1.0,
    micro_batch_size=3,
    precision="fp32",
    gradient_checkpointing=False,
    checkpoint_every=2,
    lora=LoraSettings(rank=2, alpha=4.0, dropout=0.1, targets=("q_proj", "k_proj", "v_proj", "o_proj")),
)
LORA = SETTINGS.model_copy(update={"method": "lora"})


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(600)


@pytest.fixture(scope="module")
def items():
    return arithmetic.generate(14, seed=0, max_digits=2)


@pytest.fixture
def model(tokenizer):
    return tiny_model(n_layers=2, vocab_size=len(tokenizer), n_positions=128)


def weights(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a: dict, b: dict, tolerance: float = 0.0) -> bool:
    return all(torch.allclose(a[name], b[name], rtol=0, atol=tolerance) for name in a)


def naive_losses(model, tokenizer, items, settings) -> list[float]:
    """One item at a time, all labels by hand, plain AdamW and a cosine after the warm-up."""
    from transformers import get_cosine_schedule_with_warmup

    corpus = tokenise(tokenizer, items, settings.max_tokens)
    total = settings.epochs * (len(corpus) // settings.batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, settings.warmup_steps, total)
    losses = []
    for step in range(total):
        sums, n_tokens = [], 0
        for item in step_items(len(corpus), settings.batch_size, step, settings.seed):
            ids = torch.tensor(corpus.tokens[corpus.starts[item] : corpus.starts[item + 1]]).long()
            log_p = model(input_ids=ids[None]).logits[0].log_softmax(-1)
            places = range(int(corpus.prompt_lengths[item]), len(ids))
            sums.append(-sum(log_p[place - 1, ids[place]] for place in places))
            n_tokens += len(places)
        loss = sum(sums) / n_tokens
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def test_full_tuning_is_the_plain_loop(model, tokenizer, items):
    twin, padded = copy.deepcopy(model), copy.deepcopy(model)
    tuning = finetune(model, tokenizer, items, SETTINGS.model_copy(update={"micro_batch_size": 1}))
    losses = naive_losses(twin, tokenizer, items, SETTINGS)
    assert [row["loss"] for row in tuning.history] == pytest.approx(losses, abs=1e-6)
    assert same(weights(model), weights(twin), 1e-9)
    assert not model.training and tuning.n_items == len(items) - tuning.n_long
    # Attention has its softmax in float32, so that padding changes a little.
    several = finetune(padded, tokenizer, items, SETTINGS)
    assert [row["loss"] for row in several.history] == pytest.approx(losses, abs=1e-5)


@pytest.mark.parametrize("settings", [SETTINGS, LORA], ids=["full", "lora"])
def test_a_killed_run_ends_with_the_same_weights(model, tokenizer, items, settings, tmp_path):
    start = weights(model)
    finetune(model, tokenizer, items, settings)
    whole = weights(model)

    class Killed(Exception):
        pass

    def kill(row):
        if row["step"] == 3:
            raise Killed

    model.load_state_dict(start)
    with pytest.raises(Killed):
        finetune(model, tokenizer, items, settings, checkpoint_folder=tmp_path, on_step=kill)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    model.load_state_dict(start)
    steps = []
    tuning = finetune(model, tokenizer, items, settings, checkpoint_folder=tmp_path, on_step=steps.append)
    assert [row["step"] for row in steps] == [3, 4, 5, 6] and len(tuning.history) == 6
    assert same(weights(model), whole, 1e-12) and not list(tmp_path.iterdir())


def test_lora_moves_its_targets_alone(model, tokenizer, items):
    start = weights(model)
    finetune(model, tokenizer, items, LORA)
    moved = {
        name.split(".")[-2] for name, tensor in weights(model).items() if not torch.equal(tensor, start[name])
    }
    assert moved == set(LORA.lora.targets)


def test_half_precision_and_recomputing_change_little(model, tokenizer, items):
    twin = copy.deepcopy(model)
    exact = finetune(model.float(), tokenizer, items, SETTINGS).history
    changed = SETTINGS.model_copy(update={"precision": "bf16", "gradient_checkpointing": True})
    rough = finetune(twin.float(), tokenizer, items, changed).history
    assert [row["loss"] for row in rough] == pytest.approx([row["loss"] for row in exact], rel=0.05)


def test_half_precision_weights_train_in_float32_and_are_rounded_at_the_end(model, tokenizer, items):
    slow = SETTINGS.model_copy(update={"learning_rate": 2e-5})
    half = model.to(torch.bfloat16)
    twin, start = copy.deepcopy(half).float(), weights(half)
    finetune(half, tokenizer, items, slow)
    finetune(twin, tokenizer, items, slow)
    assert half.dtype == torch.bfloat16 and same(weights(half), weights(twin.to(torch.bfloat16)))
    assert not same(weights(half), start)


def test_padding_is_masked_by_position_also_where_it_is_the_end_of_sequence(tokenizer, items):
    corpus = tokenise(tokenizer, items, 60)
    batch = batch_of(corpus, np.arange(4), tokenizer.eos_token_id)
    for row in range(4):
        length = int(corpus.lengths[row])
        labelled = (batch.labels[row] != -100).nonzero().flatten().tolist()
        assert labelled == list(range(int(corpus.prompt_lengths[row]) - 1, length - 1))
        assert batch.labels[row, length - 2] == tokenizer.eos_token_id
        assert batch.attention_mask[row].sum() == length


def test_every_item_comes_once_a_pass_in_an_order_of_its_own():
    passes = [np.concatenate([step_items(12, 4, 3 * k + j, seed=1) for j in range(3)]) for k in range(2)]
    assert all(sorted(order) == list(range(12)) for order in passes)
    assert list(passes[0]) != list(passes[1])


def test_micro_batches_hold_a_step_by_length(tokenizer, items):
    corpus = tokenise(tokenizer, items, 60)
    parts = micro_batches(corpus, np.arange(7), 3)
    assert [len(part) for part in parts] == [3, 2, 2] and sorted(np.concatenate(parts)) == list(range(7))
    lengths = corpus.lengths[np.concatenate(parts)]
    assert (np.diff(lengths) >= 0).all()
    for n_items, size, n_processes in ((7, 3, 2), (5, 1, 2), (4, 8, 4)):
        parts = micro_batches(corpus, np.arange(n_items), size, n_processes)
        assert len(parts) % n_processes == 0 and min(map(len, parts)) > 0


def test_long_items_are_left_out_with_a_count_and_too_few_are_refused(model, tokenizer, items):
    lengths = tokenise(tokenizer, items, 1000).lengths
    limit = int(np.median(lengths))
    assert tokenise(tokenizer, items, limit).n_long == int((lengths > limit).sum())
    with pytest.raises(ValueError, match="raise max_tokens"):
        tokenise(tokenizer, items, 3)
    with pytest.raises(ValueError, match="lower batch_size"):
        finetune(model, tokenizer, items[:3], SETTINGS)
    with pytest.raises(ValueError, match="adapters fit on one GPU"):
        finetune(model, tokenizer, items, LORA, shard=True)


def test_a_loss_that_is_not_finite_stops_the_run(model, tokenizer, items):
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="at step 1"):
        finetune(model, tokenizer, items, SETTINGS)


def test_scores_of_held_out_items_by_hand(model, tokenizer, items):
    scores = tuning_scores(model, tokenizer, items, 200, batch_size=4)
    corpus, exact, right, n_tokens = tokenise(tokenizer, items, 200), 0, 0, 0
    for item in range(len(corpus)):
        ids = torch.tensor(corpus.tokens[corpus.starts[item] : corpus.starts[item + 1]]).long()
        with torch.no_grad():
            top = model(input_ids=ids[None]).logits[0].argmax(-1)
        hits = [int(top[k - 1] == ids[k]) for k in range(int(corpus.prompt_lengths[item]), len(ids))]
        exact, right, n_tokens = exact + all(hits), right + sum(hits), n_tokens + len(hits)
    assert scores["corpus_exact"] == exact / len(items)
    assert scores["corpus_token_accuracy"] == pytest.approx(right / n_tokens)
    assert scores["corpus_n"] == len(items)


def test_guessing_is_over_the_items_that_are_scored(model, tokenizer):
    items = [Instruction("add", "1 + 1 =", response, "") for response in (" 2", " 2", " 3", " 4" + " 4" * 60)]
    scores = tuning_scores(model, tokenizer, items, 40)
    assert scores["corpus_n"] == 3 and scores["corpus_guess"] == pytest.approx(2 / 3)


@pytest.mark.slow
@pytest.mark.parametrize("shard", [False, True])
def test_two_processes_tune_like_one(model, tokenizer, items, shard):
    twin = copy.deepcopy(model.float())
    one = finetune(model.float(), tokenizer, items, SETTINGS)
    two = finetune_in_processes(twin, tokenizer, items, SETTINGS, n_processes=2, shard=shard)
    losses = [row["loss"] for row in one.history]
    assert [row["loss"] for row in two.history] == pytest.approx(losses, rel=1e-3)
    assert same(weights(model), weights(twin), 1e-3)


def test_out_of_memory_halves_the_items_at_once_and_ends_with_the_same_weights(
    model, tokenizer, items, monkeypatch, caplog
):
    options, other = SETTINGS.model_copy(update={"micro_batch_size": 4}), copy.deepcopy(model)
    whole, sizes = finetune(other, tokenizer, items, options), []
    forward = ResponseLoss.forward

    def small(self, input_ids, attention_mask, labels):
        sizes.append(len(input_ids))
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, input_ids, attention_mask, labels)

    monkeypatch.setattr(ResponseLoss, "forward", small)
    found = finetune(model, tokenizer, items, options)
    assert sizes.count(4) == 1 and "out of memory in tuning: going on with 2 items at a time" in caplog.text
    assert [row["loss"] for row in found.history] == pytest.approx([row["loss"] for row in whole.history])
    assert same(weights(model), weights(other), 1e-5)
