"""The engine as a whole: arms, what moves, lambda = 0, the bank, options, bad input."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from naive.tiny_models import tiny_model
from omegaconf import OmegaConf
from training.distillation_case import (
    HEADS,
    PAIRS,
    RANDOM_PAIRS,
    acting,
    case,
    case_of,
    prompts,
    settings,
    student,
)

from circuit_distillation.arms import ARMS
from circuit_distillation.training.distill import distill, permuted_prompts
from circuit_distillation.training.distillation_settings import (
    AlignmentSettings,
    DistillationSettings,
    TrainingSettings,
)
from circuit_distillation.training.loop import DistillationLoop

CONF = Path(__file__).parents[2] / "conf" / "base" / "parameters_distillation.yml"


def train(arm, model=None, data=None, options=None, **more):
    """(model, history) of a short run."""
    model, data = model or student(), data or case_of(arm, **options or {})
    if data.signals.rows == "acting":
        more.setdefault("acting", acting(data.train))
    pairs = RANDOM_PAIRS if ARMS[arm].pairs == "random" else PAIRS
    history = distill(
        model,
        data.train,
        data.validation,
        data.signals,
        settings=settings(arm, **options or {}),
        heads=HEADS,
        pairs=pairs,
        progress_bar=False,
        **more,
    )
    return model, history


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def without_time(history):
    return history.drop(columns="seconds")


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_trains_what_it_says_and_leaves_a_plain_model(arm):
    before = weights(student())
    model, history = train(arm)
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    if ARMS[arm].trained == "all":
        assert len(moved) == len(before)
    elif ARMS[arm].trained == "heads":
        allowed = {f"model.layers.{i}.self_attn.{part}_proj.weight" for i in (1, 2) for part in "qkvo"}
        assert moved and moved <= allowed
    else:
        assert moved and all("_proj.weight" in name and "self_attn" in name for name in moved)
    assert not model.training and all(p.requires_grad and p.grad is None for p in model.parameters())
    assert history["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert history["validation_accuracy"].notna().tolist() == [False, True] * 3
    assert history["seconds"].is_monotonic_increasing
    n_pairs = (0 if ARMS[arm].pairs == "none" else 3) - (ARMS[arm].sites == "layers")
    assert sum(name.startswith("similarity_") for name in history) == n_pairs
    assert history["similarity"].notna().all() == (n_pairs > 0)
    ce = history["ce"] if ARMS[arm].loss != "none" else 0 * history["ce"]
    aligned = sum((1 - history[f"similarity_{i}"]) for i in range(n_pairs))
    assert history["loss"].tolist() == pytest.approx((ce + aligned).tolist())


@pytest.mark.parametrize("arm", ["full_ce", "circuit_ce_align_cka"])
def test_a_loss_falls_over_a_longer_run(arm):
    _, history = train(arm, options=dict(epochs=20, learning_rate_full=1e-2))
    assert history["loss"].iloc[-3:].mean() < 0.8 * history["loss"].iloc[:3].mean()


def test_lambda_zero_is_circuit_ce_bit_for_bit():
    alone, _ = train("circuit_ce")
    nothing, history = train("circuit_ce_align_cka", options=dict(cka_weight=0))
    assert same(weights(alone), weights(nothing))
    assert history["similarity"].between(0, 1).all()  # still logged
    aligned, _ = train("circuit_ce_align_cka")
    assert not same(weights(alone), weights(aligned))


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("arm", ["circuit_ce_align_cka", "circuit_ce_attention"])
def test_measuring_the_share_of_the_alignment_changes_nothing(arm, checkpointing):
    options = dict(gradient_checkpointing=checkpointing)
    often, history = train(arm, options=options | dict(evaluate_every=1))
    seldom, _ = train(arm, options=options | dict(evaluate_every=6))
    assert same(weights(often), weights(seldom))
    assert history["alignment_share"].between(0, 1, inclusive="neither").all()


def test_the_share_of_the_alignment_grows_with_its_weight():
    _, history = train("circuit_ce_align_cka")
    _, heavier = train("circuit_ce_align_cka", options=dict(cka_weight=3.0))
    before, after = history["alignment_share"][0], heavier["alignment_share"][0]
    assert after == pytest.approx(3 * before / (1 + 2 * before))  # the weight scales one of the two norms
    assert heavier["alignment_share"].notna().tolist() == [True, True, False, True, False, True]
    for arm in ("circuit_ce", "circuit_align_cka"):
        assert train(arm)[1]["alignment_share"].isna().all()


def test_the_same_seed_gives_the_same_run_and_the_order_of_the_data_does_not_depend_on_the_arm():
    first, again = train("circuit_ce_align_cka"), train("circuit_ce_align_cka")
    assert same(weights(first[0]), weights(again[0]))
    assert without_time(first[1]).equals(without_time(again[1]))
    assert train("circuit_ce")[1]["ce"][0] == first[1]["ce"][0] == train("full_ce")[1]["ce"][0]
    other, _ = train("circuit_ce_align_cka", options=dict(seed=1))
    assert not same(weights(first[0]), weights(other))


@pytest.mark.parametrize("rows", ["last", "all"])
@pytest.mark.parametrize("arm", ["circuit_ce_align_cka", "circuit_align_cka"])
def test_a_bank_of_small_batches_is_one_large_batch(arm, rows):
    data = case(rows=rows)
    whole, expected = train(arm, data=data, options=dict(batch_size=24, rows=rows))
    banked, history = train(arm, data=data, options=dict(batch_size=6, bank_batches=4, rows=rows))
    for name in ("loss", "ce", "similarity", "noise_floor", "validation_ce"):
        assert history[name].tolist() == pytest.approx(expected[name].tolist(), rel=1e-9, nan_ok=True)
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(banked.state_dict()[name], tensor, rtol=0, atol=1e-8)


def test_gradient_checkpointing_changes_nothing():
    plain, expected = train("circuit_ce_align_cka")
    saved, history = train("circuit_ce_align_cka", options=dict(gradient_checkpointing=True))
    assert same(weights(plain), weights(saved)) and without_time(history).equals(without_time(expected))


@pytest.mark.parametrize(
    "options",
    [
        dict(labels="soft"),
        dict(labels="gold"),
        dict(rows="box"),
        dict(rows="all"),
        dict(similarity="procrustes"),
        dict(estimator="unbiased"),
        dict(pair_reduction="mean"),
        dict(weights="qo"),
        dict(precision="bf16"),
        dict(schedule="cosine"),
        dict(learning_rate_heads=1e-4),
    ],
)
def test_every_option_changes_the_outcome(options):
    model = student().float()
    default, _ = train("circuit_ce_align_cka", model=student().float())
    _, history = train(
        "circuit_ce_align_cka",
        model=model,
        data=case(rows=options.get("rows", "last")),
        options=options,
    )
    assert not same(weights(default), weights(model))
    assert history["loss"].notna().all()


def test_early_stopping_keeps_the_best_weights_on_validation():
    data, accuracies, seen = case(), iter([0.1, 0.5, 0.4, 0.3, 0.9]), []

    def fake(forward, *_):
        seen.append(forward.slices.slices["layer2_q"].detach().clone())
        return next(accuracies), 1.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("circuit_distillation.training.loop.validate", fake)
        model, history = train("circuit_ce", data=data, options=dict(epochs=10, evaluate_every=1, patience=2))
    assert len(history) == 4  # best at the second validation, then two without a better
    assert torch.equal(model.model.layers[2].self_attn.q_proj.weight[8:16], seen[1])


def test_a_pair_without_variance_is_skipped_and_counted():
    data = case()
    data.signals.features[(3, 1)].fill_(0.3)
    model, history = train("circuit_ce_align_cka", data=data)
    assert history["skipped_pairs"].tolist() == [1] * 6
    assert (
        history["similarity_0"].isna().all()
        and history["similarity_1"].notna().all()
        and history["similarity"].notna().all()
    )
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())


def test_too_few_rows_for_the_estimator_skips_every_pair():
    _, history = train("circuit_ce_align_cka", options=dict(batch_size=3, estimator="unbiased"))
    assert (history["skipped_pairs"] == 3).all() and history["similarity"].isna().all()
    assert history["loss"].tolist() == history["ce"].tolist()


def test_a_loss_that_is_not_finite_stops_with_the_step_and_the_batch():
    data, model = case(), student()
    data.signals.features[(3, 1)][5] = math.nan
    with pytest.raises(FloatingPointError, match=r"loss is nan at step \d, .* examples \[.*\b5\b.*\]"):
        train("circuit_ce_align_cka", model=model, data=data)
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
    assert not model.training


def test_the_defaults_are_those_of_the_shipped_parameters():
    shipped = OmegaConf.load(CONF)["distillation"]
    defaults = TrainingSettings().model_dump() | AlignmentSettings().model_dump()
    assert {name: shipped[name] for name in defaults} == defaults
    assert shipped["learning_rate_heads"] == DistillationSettings().learning_rate


def test_shares_are_reported():
    _, history = train("circuit_ce")
    assert history.attrs["percent_heads"] == pytest.approx(25.0)
    assert 0 < history.attrs["percent_parameters"] < 20
    assert train("full_ce")[1].attrs == {"percent_heads": 100.0, "percent_parameters": 100.0}


def test_input_that_does_not_fit_raises():
    data = case()
    for options, message in (
        (dict(options=dict(batch_size=25)), "lower batch_size"),
        (dict(options=dict(rows="all")), "rows 'last'"),
        (dict(data=replace(data, signals=replace(data.signals, features={}))), "lack the activations"),
        (dict(data=replace(data, signals=case(n=20).signals)), "other prompts"),
        (
            dict(data=replace(data, signals=replace(data.signals, labels=data.signals.labels + 40))),
            "40 tokens",
        ),
        (
            dict(
                data=replace(data, signals=replace(data.signals, logits=None)),
                options=dict(labels="soft"),
            ),
            "soft",
        ),
        (dict(model=tiny_model(attention_dropout=0.1)), "dropout"),
    ):
        with pytest.raises(ValueError, match=message):
            train("circuit_ce_align_cka", **{"data": data} | options)
    with pytest.raises(ValueError, match="no loss"):
        train("circuit_align_cka", options=dict(cka_weight=0))
    with pytest.raises(ValueError, match="no pairs"):
        splits = (data.train, data.validation, data.signals)
        distill(student(), *splits, settings=settings("circuit_align_cka"), heads=HEADS)
    with pytest.raises(ValueError, match="estimator"):
        settings("layer_cka", estimator="debiased")
    with pytest.raises(ValueError, match="epochs\n.*greater than or equal to 1"):
        settings("full_ce", epochs=0)


def test_out_of_memory_is_one_line_with_what_to_set(monkeypatch):
    def refuse(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr(DistillationLoop, "_backward", refuse)
    message = r"^out of memory at step 1 with batch_size \d+: set .*bank_batches$"
    with pytest.raises(MemoryError, match=message):
        train("circuit_ce_align_cka")


@pytest.mark.parametrize("arm", ["circuit_ce_attention", "circuit_ce_output", "circuit_ce_function_cka"])
def test_what_heads_do_comes_closer_to_the_teacher(arm):
    _, history = train(arm, options={"epochs": 12, "cka_weight": 10.0})
    first, last = history["similarity"].iloc[:3].mean(), history["similarity"].iloc[-3:].mean()
    assert last > first + 0.05
    assert history["measure"].iloc[0] in {
        "1 - KL to the teacher of attention rows",
        "CKA of what heads write, W_O z",
        "CKA of head outputs z",
    }


def test_a_bank_of_small_batches_is_one_large_batch_where_heads_act():
    """Each pair has rows of its own."""
    options = {"epochs": 2, "evaluate_every": 6}
    whole, _ = train("circuit_ce_attention", options=options | {"batch_size": 8})
    banked, _ = train("circuit_ce_attention", options=options | {"batch_size": 4, "bank_batches": 2})
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(banked.state_dict()[name], tensor, rtol=0, atol=1e-9)


def test_rows_where_a_head_does_not_act_change_nothing():
    """The teacher's attention at any other token may be anything."""
    data = case_of("circuit_ce_attention")
    masks, features = acting(data.train), dict(data.signals.features)
    for own, theirs in PAIRS:
        idle = ~masks[own][:, :, None]
        features[theirs] = torch.where(idle, torch.full_like(features[theirs], 0.5), features[theirs])
    changed = replace(data, signals=replace(data.signals, features=features))
    arm, options = "circuit_ce_attention", {"epochs": 1}
    assert same(*(weights(train(arm, data=part, options=options)[0]) for part in (data, changed)))


def test_permuted_prompts_are_others_of_the_same_layout():
    encoded = prompts(30, seed=3)
    index = permuted_prompts(encoded, seed=0)
    assert sorted(index.tolist()) == list(range(30))
    places = torch.stack([encoded.positions["box"], encoded.positions["last"]])
    assert torch.equal(places, places[:, index])
    alone = {tuple(place) for place in places.T.tolist() if places.T.tolist().count(place) == 1}
    for i, j in enumerate(index.tolist()):
        assert i != j or tuple(places[:, i].tolist()) in alone
    assert not torch.equal(index, permuted_prompts(encoded, seed=1))


def test_prompts_that_are_alone_in_their_layout_cannot_be_permuted():
    encoded = prompts(1, seed=3)
    with pytest.raises(ValueError, match="no other prompt of their layout"):
        permuted_prompts(encoded, seed=0)


def test_rows_where_heads_act_need_to_be_given():
    data = case_of("circuit_ce_attention")
    with pytest.raises(ValueError, match=r"needs the tokens where the student heads \[\(2, 1\)\] act"):
        masks = {head: mask for head, mask in acting(data.train).items() if head != (2, 1)}
        train("circuit_ce_attention", data=data, acting=masks)


def test_kl_is_for_distributions():
    with pytest.raises(ValueError, match="compares distributions"):
        settings("circuit_ce_align_cka", similarity="kl")
