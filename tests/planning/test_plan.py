"""Rows by hand, and runs that cannot fit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from circuit_distillation.planning.plan import RoleTuning, Row, Setting, faults, plan, to_text
from circuit_distillation.planning.shapes import KNOWN
from circuit_distillation.planning.work import ablation_flops, forward_flops
from circuit_distillation.training.finetuning_settings import FineTuneSettings, LoraSettings

SHAPES = dict(zip(("small", "medium", "large"), KNOWN.values(), strict=True))
FULL = FineTuneSettings(
    method="full",
    epochs=1,
    batch_size=128,
    max_tokens=512,
    warmup_steps=100,
    learning_rate=2e-5,
    schedule="cosine",
    weight_decay=0.0,
    clip_norm=1.0,
    micro_batch_size=16,
    precision="bf16",
    gradient_checkpointing=True,
    checkpoint_every=500,
    lora=LoraSettings(rank=64, alpha=64.0, dropout=0.05, targets=("q_proj", "k_proj", "v_proj", "o_proj")),
)
TUNING = RoleTuning(FULL, 1000, 66.0, 45.0, accumulates=True)
LORA = RoleTuning(FULL.model_copy(update={"method": "lora"}), 1000, 66.0, 45.0, accumulates=True)
SETTING = Setting(
    shapes=SHAPES,
    dtype="float32",
    tf32=True,
    tuning={"small": TUNING, "medium": TUNING, "large": LORA},
    prompt_tokens=54,
    prompts={"discovery": 300, "means": 700, "mapping": 504, "validation": 504, "test": 3010},
    stages=(("logits", 1), ("q", 1), ("kv", 3), ("kv", 27)),
    pruned=(58, 10, 25, 5),
    n_random=10,
    n_random_row=2,
    arms=("full_ce", "circuit_ce"),
    n_train=4000,
    steps=1750,
    batch_size=32,
    head_share=0.11,
    bf16=True,
    recomputes=False,
    looks=15,
)


DOWNLOADS = (*SHAPES, *(f"instruct {role}" for role in SHAPES))


def row(rows: list[Row], stage: str) -> Row:
    return next(item for item in rows if item.stage == stage)


def test_the_paper_fits_one_gpu_of_80_gb():
    assert faults(plan(SETTING), 80e9, 1e13) == []


def test_work_and_hours_of_tuning_by_hand():
    tuned = row(plan(SETTING), "tune small (full)")
    assert tuned.flops == 8 * SHAPES["small"].parameters * 66_000  # three passes and one to recompute
    assert tuned.hours("A100", 0.4) == pytest.approx(tuned.flops / (312e12 * 0.4) / 3600)
    assert tuned.hours("H100", 0.4, n_gpus=2) == pytest.approx(tuned.flops / (2 * 989e12 * 0.4) / 3600)


def test_students_and_tables_by_hand():
    rows = plan(SETTING)
    one = forward_flops(SHAPES["medium"], 54)
    full = row(rows, "medium.full_ce")
    assert full.flops == 6 * SHAPES["medium"].parameters * 1750 * 32 * 54 + 15 * 504 * one
    assert full.disk == 4 * SHAPES["medium"].parameters
    few = row(rows, "medium.circuit_ce")
    assert few.flops < full.flops and few.memory < full.memory - 10 * SHAPES["medium"].parameters
    small, medium, large = (forward_flops(shape, 54) for shape in SHAPES.values())
    assert row(rows, "predictions").flops == 3010 * 4 * (2 * (small + medium + large) + 2 * (small + medium))


def test_the_8b_model_cannot_be_tuned_in_full_on_one_gpu_and_the_remedy_is_named():
    setting = replace(SETTING, tuning=SETTING.tuning | {"large": TUNING})
    (line,) = faults(plan(setting), 80e9, 1e13)
    assert line.startswith("tune large (full) needs 1") and "finetuning.method.large=lora" in line
    sharded = replace(SETTING, tuning=SETTING.tuning | {"large": replace(TUNING, shards=4)})
    assert faults(plan(sharded), 80e9, 1e13) == []


def test_a_bank_costs_a_forward_where_rows_are_compared_and_the_memory_of_one_batch():
    arms = {"arms": ("full_ce", "circuit_ce_align_cka")}
    one, four = plan(replace(SETTING, **arms)), plan(replace(SETTING, **arms, bank_batches=4, steps=437))
    plain, banked = (row(rows, "medium.full_ce").memory for rows in (one, four))
    assert banked - plain == pytest.approx(0, abs=4 * SHAPES["medium"].parameters)  # gradients alone stay
    twice = plan(replace(SETTING, **arms, bank_batches=4, steps=437, batch_size=64))
    aligned = [row(rows, "medium.circuit_ce_align_cka") for rows in (four, twice)]
    assert aligned[1].memory > aligned[0].memory
    extra = aligned[0].flops - 15 * 504 * forward_flops(SHAPES["medium"], 54)
    assert extra == (4 + 2) * SHAPES["medium"].parameters * 437 * 4 * 32 * 54
    full = row(four, "medium.full_ce").flops - 15 * 504 * forward_flops(SHAPES["medium"], 54)
    assert full == 6 * SHAPES["medium"].parameters * 437 * 4 * 32 * 54


def test_processes_share_a_batch():
    alone, shared = plan(replace(SETTING, batch_size=8)), plan(replace(SETTING, processes=4))
    for stage in ("medium.full_ce", "medium.circuit_ce"):
        assert row(shared, stage).memory == row(alone, stage).memory
        assert row(shared, stage).flops > row(alone, stage).flops


def test_checkpoints_pass_and_the_corpus_has_signals_of_its_own():
    rows = plan(replace(SETTING, arms=("full_ce", "goat_circuit_ce")))
    passing = 24.0 * SHAPES["medium"].parameters
    assert row(rows, "medium.full_ce").passing == row(rows, "tune medium (full)").passing == passing
    signals = row(rows, "teacher's signals").disk
    assert row(rows, "teacher's signals on the corpus").disk == signals == 4000 * 32 * 2 * 4096 * 4
    assert "teacher's signals on the corpus" not in {item.stage for item in plan(SETTING)}
    needed = sum(item.disk for item in rows) + passing
    assert faults(rows, 80e9, needed, 1e13) == [] != faults(rows, 80e9, needed - 1e6, 1e13)


def test_downloads_count_in_the_cache_and_only_where_they_are_needed():
    rows, local = plan(SETTING), plan(replace(SETTING, downloads=()))
    cache = sum(2.0 * shape.parameters for shape in SHAPES.values())
    assert faults(rows, 80e9, 1e13, cache) == []
    (line,) = faults(rows, 80e9, 1e13, cache - 1e6)
    assert line.startswith("downloads need 25 GB of disk") and "HF_HOME" in line
    assert faults(local, 80e9, 1e13, 0.0) == []


def test_a_disk_that_is_too_small_is_named():
    (line,) = faults(plan(SETTING), 80e9, 1e9)
    assert "GB of disk, 1 GB are free: set data_root" in line


def test_instruction_tuned_models_are_downloaded_searched_and_measured():
    rows, more = plan(SETTING), plan(replace(SETTING, instruct=True, downloads=DOWNLOADS))
    added = {item.stage for item in more} - {item.stage for item in rows}
    assert added == {*(f"download instruct {role}" for role in SHAPES), "circuit of instruct large"}
    ablated = ablation_flops(SHAPES["large"], 54) * SETTING.prompts["mapping"]
    teacher = row(rows, "circuit of tuned large")
    assert row(more, "circuit of instruct large").flops == pytest.approx(teacher.flops - ablated)
    one = sum(forward_flops(shape, 54) for shape in SHAPES.values())
    assert row(more, "predictions").flops - row(rows, "predictions").flops == pytest.approx(3010 * 4 * one)


def test_the_table_has_a_row_a_stage_and_totals():
    rows = plan(SETTING)
    lines = to_text(rows, 0.4, 1).splitlines()
    assert len(lines) == len(rows) + 3 and lines[-1].startswith("| all |")
