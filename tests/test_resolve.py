"""What each arm trains with: rank of files, search and command; an arm has only what it uses."""

from __future__ import annotations

import pytest

from circuit_distillation.arms import ARMS, PAPER_ARMS
from circuit_distillation.parameters import ParameterError, validate
from circuit_distillation.parameters.resolve import resolve
from circuit_distillation.ranges import Strict
from circuit_distillation.training.distillation_settings import DistillationSettings
from circuit_distillation.training.settings_table import settings_table

CHOSEN = {
    "mini": {
        "tom": {
            "shared": {"batch_size": 32, "fraction": 0.08},
            "arms": {"circuit_ce": {"learning_rate_heads": 3e-4}, "full_ce": {"learning_rate_full": 1e-4}},
        }
    }
}


def resolved(shipped, command=None, **given):
    """As a run with these parameters has it."""
    command = command or {}
    raw = shipped | {"task": "tom", "chosen": CHOSEN} | given
    for block, values in command.items():
        raw[block] = raw[block] | {
            name: raw[block][name] | value if isinstance(value, dict) else value
            for name, value in values.items()
        }
    return resolve(validate(raw), command)


def test_what_is_chosen_holds_for_its_family_task_and_arm(shipped):
    arms, files = resolved(shipped)["arms"], resolved(shipped, chosen={})["arms"]
    rates = {name: settings["learning_rate"] for name, settings in arms.items()}
    assert rates["circuit_ce"] == rates["goat_circuit_ce"] == 3e-4 and rates["full_ce"] == 1e-4
    assert rates["layer_cka"] == rates["circuit_ce_align_cka"] == files["layer_cka"]["learning_rate"] == 1e-3
    assert {settings["batch_size"] for settings in arms.values()} == {32}
    assert resolved(shipped)["mapping"]["fraction"] == 0.08
    assert resolved(shipped, task="entity")["arms"] == resolved(shipped, task="entity", chosen={})["arms"]


@pytest.mark.parametrize("arm", [name for name, arm in ARMS.items() if arm.settings_of in PAPER_ARMS])
def test_an_arm_that_takes_the_settings_of_another_takes_what_was_chosen_for_it(shipped, arm):
    own = ARMS[arm].settings_of
    chosen = {"mini": {"entity": {"arms": {own: {"learning_rate_heads": 0.5}}}}}
    arms = resolved(shipped, task="entity", chosen=chosen)["arms"]
    assert arms[arm]["learning_rate"] == arms[own]["learning_rate"] == 0.5


def test_a_setting_by_hand_outranks_the_choice(shipped):
    command = {
        "distillation": {"learning_rate_heads": 0.1, "epochs": 3, "batch_size": 8},
        "head_mapping": {"fraction": {"tom": 0.5}},
    }
    found = resolved(shipped, command)
    own, whole = (found["arms"][arm] for arm in ("circuit_ce", "full_ce"))
    assert (own["learning_rate"], own["epochs"], own["batch_size"]) == (0.1, 3, 8)
    assert (whole["learning_rate"], whole["batch_size"]) == (1e-4, 8)
    assert found["mapping"]["fraction"] == 0.5


def test_the_search_outranks_the_files_and_so_a_preset(shipped):
    of_preset = {"distillation": shipped["distillation"] | {"learning_rate_heads": 0.5}}
    assert resolved(shipped, **of_preset)["arms"]["circuit_ce"]["learning_rate"] == 3e-4
    assert resolved(shipped, **of_preset)["arms"]["layer_cka"]["learning_rate"] == 0.5


@pytest.mark.parametrize(
    ("setting", "value"),
    [("cka_weight", 5.0), ("rows", "all"), ("similarity", "procrustes"), ("estimator", "unbiased"),
     ("pair_reduction", "mean")],
)  # fmt: skip
def test_an_arm_that_aligns_nothing_knows_nothing_of_alignment(shipped, setting, value):
    before, after = resolved(shipped)["arms"], resolved(shipped, {"distillation": {setting: value}})["arms"]
    moved = {name for name in ARMS if before[name] != after[name]}
    assert moved == {name for name, arm in ARMS.items() if arm.pairs != "none"}
    assert before["circuit_ce"]["alignment"] is None


def test_a_rate_is_of_the_weights_that_train(shipped):
    command = {"distillation": {"learning_rate_full": 0.5}}
    before, after = resolved(shipped, chosen={})["arms"], resolved(shipped, command, chosen={})["arms"]
    assert {name for name in ARMS if before[name] != after[name]} == {"full_ce", "full_kl"}


def test_the_order_of_the_data_is_that_of_the_draw(shipped):
    assert {settings["seed"] for settings in resolved(shipped, training_seed=2)["arms"].values()} == {2000}
    assert resolved(shipped)["arms"]["full_kl"]["labels"] == "soft"


def test_a_chosen_batch_that_the_prompts_do_not_fill_is_refused(shipped):
    chosen = {"mini": {"tom": {"shared": {"batch_size": 512}}}}
    with pytest.raises(ValueError, match="has 256 examples, a step takes 512"):
        resolved(shipped, chosen=chosen)


def test_arms_are_no_block_of_the_files(shipped):
    with pytest.raises(ParameterError, match="unknown parameter `arms`"):
        validate(shipped | {"arms": {}})


def test_the_table_shows_what_is_used(shipped):
    arms = {name: DistillationSettings(**values) for name, values in resolved(shipped)["arms"].items()}
    head, *lines = settings_table(arms, 256).splitlines()
    assert head.split()[:5] == ["arm", "rate", "epochs", "steps", "batch"]
    cells = {line.split()[0]: line.split()[1:] for line in lines}
    assert cells["circuit_ce"] == "0.0003 6 48 32 heads ce, hard labels".split()
    assert cells["circuit_ce_rand_cka"][-6:] == "1 cka, biased, sum last random heads".split()[-6:]


def test_every_setting_is_declared_once():
    """A name has one declaration; blocks of the files and of trials are made from it."""
    assert issubclass(DistillationSettings, Strict)
    own = [name for kind in DistillationSettings.__mro__ for name in vars(kind).get("__annotations__", {})]
    assert len(own) == len(set(own))


def test_arms_without_tokens_where_a_head_acts_compare_the_last_one(shipped):
    shipped["distillation"]["rows"] = "acting"
    arms = resolved(shipped)["arms"]
    rows = {arm: arms[arm]["alignment"]["rows"] for arm in ("circuit_ce_align_cka", "goat_circuit_align_cka")}
    assert rows == {"circuit_ce_align_cka": "acting", "goat_circuit_align_cka": "last"}
    shipped["distillation"]["extra_arms"] = ["layer_cka"]
    with pytest.raises(ValueError, match="leave layer_cka out"):
        resolved(shipped)
