"""Tuning on a corpus: against a plain loop, after a kill, and what it refuses."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from naive.tiny_models import tiny_model
from standins import train_bpe

from circuit_distillation.compute.processes import ModelOnDisk, run_in_processes
from circuit_distillation.tasks import arithmetic
from circuit_distillation.tasks.corpus import Instruction
from circuit_distillation.training.finetuning import _fingerprint, _tune, finetune
from circuit_distillation.training.finetuning_settings import FineTuneSettings, LoraSettings
from circuit_distillation.training.tuning_scores import tuning_scores
from circuit_distillation.training.tuning_tokens import tokenise
from circuit_distillation.training.tuning_trainer import Journal, ResponseLoss, Steps

SETTINGS = FineTuneSettings(
    method="full",
    epochs=2,
    batch_size=4,
    max_tokens=60,
    warmup_steps=1,
    learning_rate=1e-3,
    schedule="cosine",
    weight_decay=0.1,
    clip_norm=1.0,
    micro_batch_size=3,
    precision="fp32",
    gradient_checkpointing=False,
    checkpoint_every=2,
    lora=LoraSettings(rank=2, alpha=4.0, dropout=0.1, targets=("q_proj", "k_proj", "v_proj", "o_proj")),
)
LORA = SETTINGS.model_copy(update={"method": "lora"})


def but(**changes) -> FineTuneSettings:
    return SETTINGS.model_copy(update=changes)


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
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, settings.warmup_steps, total)
    losses = []
    for step in range(total):
        sums, n_tokens = [], 0
        for item in Steps(corpus, settings, 0, 1).items(step):
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


def test_full_tuning_is_the_plain_loop(model, tokenizer, items, tmp_path):
    twin, padded = copy.deepcopy(model), copy.deepcopy(model)
    tuning = finetune(model, tokenizer, items, but(micro_batch_size=1), tmp_path)
    losses = naive_losses(twin, tokenizer, items, SETTINGS)
    assert [row["loss"] for row in tuning.history] == pytest.approx(losses, abs=1e-6)
    assert same(weights(model), weights(twin), 1e-9)
    assert not model.training and tuning.n_items == len(items) - tuning.n_long
    # Attention has its softmax in float32, so that padding changes a little.
    several = finetune(padded, tokenizer, items, SETTINGS, tmp_path)
    assert [row["loss"] for row in several.history] == pytest.approx(losses, abs=1e-5)


@pytest.mark.parametrize("settings", [SETTINGS, LORA], ids=["full", "lora"])
def test_a_killed_run_ends_with_the_same_weights(model, tokenizer, items, settings, tmp_path, monkeypatch):
    start = weights(model)
    whole, after = finetune(model, tokenizer, items, settings, tmp_path), weights(model)
    monkeypatch.setattr(Journal, "on_pre_optimizer_step", killed_at(5))
    model.load_state_dict(start)
    with pytest.raises(InterruptedError):
        finetune(model, tokenizer, items, settings, tmp_path)
    monkeypatch.undo()
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    model.load_state_dict(start)
    tuning = finetune(model, tokenizer, items, settings, tmp_path)
    assert [row["loss"] for row in tuning.history] == [row["loss"] for row in whole.history]
    assert same(weights(model), after) and not list(tmp_path.iterdir())


def test_a_broken_checkpoint_begins_anew(model, tokenizer, items, tmp_path, monkeypatch, caplog):
    start, twin = weights(model), copy.deepcopy(model)
    monkeypatch.setattr(Journal, "on_pre_optimizer_step", killed_at(5))
    with pytest.raises(InterruptedError):
        finetune(model, tokenizer, items, SETTINGS, tmp_path)
    monkeypatch.undo()
    (checkpoint,) = tmp_path.glob("*.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    model.load_state_dict(start)
    finetune(model, tokenizer, items, SETTINGS, tmp_path)
    finetune(twin, tokenizer, items, SETTINGS, tmp_path)
    assert same(weights(model), weights(twin)) and "this work starts again" in caplog.text


def killed_at(step: int):
    """A run's journal that is interrupted before the update of a step."""
    hook = Journal.on_pre_optimizer_step

    def killed(self, args, state, control, **others):
        if state.global_step + 1 == step:
            raise InterruptedError
        hook(self, args, state, control, **others)

    return killed


def test_lora_moves_its_targets_alone(model, tokenizer, items, tmp_path):
    start = weights(model)
    finetune(model, tokenizer, items, LORA, tmp_path)
    moved = {
        name.split(".")[-2] for name, tensor in weights(model).items() if not torch.equal(tensor, start[name])
    }
    assert moved == set(LORA.lora.targets)


def test_half_precision_and_recomputing_change_little(model, tokenizer, items, tmp_path):
    twin = copy.deepcopy(model)
    exact = finetune(model.float(), tokenizer, items, SETTINGS, tmp_path).history
    changed = but(precision="bf16", gradient_checkpointing=True)
    rough = finetune(twin.float(), tokenizer, items, changed, tmp_path).history
    assert [row["loss"] for row in rough] == pytest.approx([row["loss"] for row in exact], rel=0.05)


def test_half_precision_weights_train_in_float32_and_are_rounded_at_the_end(
    model, tokenizer, items, tmp_path
):
    slow = but(learning_rate=2e-5)
    half = model.to(torch.bfloat16)
    twin, start = copy.deepcopy(half).float(), weights(half)
    finetune(half, tokenizer, items, slow, tmp_path)
    finetune(twin, tokenizer, items, slow, tmp_path)
    assert half.dtype == torch.bfloat16 and same(weights(half), weights(twin.to(torch.bfloat16)))
    assert not same(weights(half), start)


def test_padding_is_masked_by_position_and_responses_alone_are_learned(tokenizer, items):
    corpus = tokenise(tokenizer, items, 60)
    batch = corpus.batch(np.arange(4))
    for row in range(4):
        length = int(corpus.lengths[row])
        labelled = (batch["labels"][row] != -100).nonzero().flatten().tolist()
        assert labelled == list(range(int(corpus.prompt_lengths[row]), length))
        assert batch["labels"][row, length - 1] == tokenizer.eos_token_id
        assert batch["attention_mask"][row].tolist() == [k < length for k in range(batch["labels"].shape[1])]


@pytest.mark.parametrize(("batch_size", "size", "n_ranks"), [(4, 3, 1), (7, 3, 2), (5, 1, 2), (4, 8, 4)])
def test_every_item_comes_once_a_pass_in_parts_of_like_length(tokenizer, items, batch_size, size, n_ranks):
    corpus = tokenise(tokenizer, items, 60)
    settings = but(batch_size=batch_size, epochs=2)
    ranks = [Steps(corpus, settings, rank, n_ranks) for rank in range(n_ranks)]
    n_parts = [steps.cut(size) for steps in ranks]
    assert len(set(n_parts)) == 1 and all(len(list(steps)) == len(steps) for steps in ranks)
    orders = [
        np.concatenate([ranks[0].items(step) for step in range(k, k + ranks[0].per_epoch)])
        for k in (0, ranks[0].per_epoch)
    ]
    assert all(len(set(order)) == len(order) for order in orders) and list(orders[0]) != list(orders[1])
    first = [list(steps)[: n_parts[0]] for steps in ranks]
    lengths = [[int(n) for part in parts for n in part["attention_mask"].sum(1)] for parts in first]
    assert all(rank == sorted(rank) and len(rank) >= n_parts[0] for rank in lengths)
    assert sorted(sum(lengths, [])) == sorted(corpus.lengths[ranks[0].items(0)])


def test_long_items_are_left_out_with_a_count_and_too_few_are_refused(model, tokenizer, items, tmp_path):
    lengths = tokenise(tokenizer, items, 1000).lengths
    limit = int(np.median(lengths))
    assert tokenise(tokenizer, items, limit).n_long == int((lengths > limit).sum())
    with pytest.raises(ValueError, match="raise max_tokens"):
        tokenise(tokenizer, items, 3)
    with pytest.raises(ValueError, match="lower batch_size"):
        finetune(model, tokenizer, items[:3], SETTINGS, tmp_path)
    with pytest.raises(ValueError, match="adapters fit on one GPU"):
        finetune(model, tokenizer, items, LORA, tmp_path, n_processes=2, sharded=True)
    with pytest.raises(ValueError, match="batch_size 4 is below 5 processes"):
        finetune(model, tokenizer, items, SETTINGS, tmp_path, n_processes=5)


def test_an_item_that_the_tokenizer_calls_too_long_is_left_out_too(tokenizer, items):
    short, limit = copy.deepcopy(tokenizer), int(np.median(tokenise(tokenizer, items, 1000).lengths))
    short.model_max_length = limit
    assert tokenise(short, items, 1000).lengths.max() <= limit
    assert tokenise(short, items, 1000).n_long == tokenise(tokenizer, items, limit).n_long > 0


def test_one_id_for_all_special_tokens_is_no_unknown_word(tokenizer, items):
    shared = copy.deepcopy(tokenizer)
    shared.unk_token = shared.bos_token = shared.eos_token
    assert shared.unk_token_id == shared.eos_token_id
    assert len(tokenise(shared, items, 1000)) == len(items)


def test_a_loss_that_is_not_finite_stops_the_run(model, tokenizer, items, tmp_path):
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="at step 1"):
        finetune(model, tokenizer, items, SETTINGS, tmp_path)


def test_a_gradient_that_is_not_finite_changes_no_weight(model, tokenizer, items, tmp_path):
    before = weights(model)
    model.lm_head.weight.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(FloatingPointError, match="the gradient norm is (inf|nan) at step 1, so its update"):
        finetune(model, tokenizer, items, SETTINGS, tmp_path)
    assert same(weights(model), before)


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
@pytest.mark.parametrize("sharded", [False, True])
def test_two_processes_tune_like_one_also_after_a_kill(model, tokenizer, items, sharded, tmp_path):
    model.float()
    twin, corpus = copy.deepcopy(model), tokenise(tokenizer, items, SETTINGS.max_tokens)
    path = tmp_path / f"{_fingerprint(model, corpus, SETTINGS)}.safetensors"
    stored = ModelOnDisk(model, tmp_path / "model")
    with pytest.raises(RuntimeError, match="InterruptedError"):
        run_in_processes(tuned_until_killed, stored, corpus, SETTINGS, path, "", sharded, n_processes=2)
    assert path.is_file()
    one = finetune(twin, tokenizer, items, SETTINGS, tmp_path / "one")
    two = finetune(model, tokenizer, items, SETTINGS, tmp_path, n_processes=2, sharded=sharded)
    losses = [row["loss"] for row in one.history]
    assert [row["loss"] for row in two.history] == pytest.approx(losses, rel=1e-3)
    assert same(weights(model), weights(twin), 1e-3) and not path.exists()


def tuned_until_killed(stored, *arguments):
    """A rank that ends before its fifth update."""
    Journal.on_pre_optimizer_step = killed_at(5)
    _tune(stored.load(), *arguments)


def test_out_of_memory_halves_the_items_at_once_and_ends_with_the_same_weights(
    model, tokenizer, items, monkeypatch, caplog, tmp_path
):
    options, other = but(micro_batch_size=4), copy.deepcopy(model)
    whole, sizes = finetune(other, tokenizer, items, options, tmp_path), []
    forward = ResponseLoss.forward

    def small(self, input_ids, attention_mask, labels):
        sizes.append(len(input_ids))
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, input_ids, attention_mask, labels)

    monkeypatch.setattr(ResponseLoss, "forward", small)
    found = finetune(model, tokenizer, items, options, tmp_path)
    assert sizes.count(4) == 1 and "out of memory in tuning: going on with 2 items at a time" in caplog.text
    assert [row["loss"] for row in found.history] == pytest.approx([row["loss"] for row in whole.history])
    assert same(weights(model), weights(other), 1e-5)


def test_an_update_that_memory_has_cut_short_is_not_made_twice(
    model, tokenizer, items, monkeypatch, tmp_path
):
    def end(self, *arguments, **others):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.optim.AdamW, "step", end)
    with pytest.raises(ValueError, match="out of memory in the update of step 1"):
        finetune(model, tokenizer, items, SETTINGS, tmp_path)


def test_tuning_leaves_configuration_and_random_state(model, tokenizer, items, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, state = model.config.to_dict(), torch.get_rng_state()
    finetune(model, tokenizer, items, but(precision="bf16", gradient_checkpointing=True), tmp_path)
    assert model.config.to_dict() == before and torch.equal(torch.get_rng_state(), state)
    assert "forward" not in vars(model) and not list(tmp_path.iterdir())
    assert AcceleratorState().mixed_precision == "no"  # which the next student would inherit
