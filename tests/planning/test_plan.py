"""The shipped setting of the paper: rows by hand, and runs that cannot fit."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator

import pytest
from configuration import shipped_parameters
from naive.tiny_models import tiny_model

from circuit_distillation import grid
from circuit_distillation.hooks.models import _check_corpus
from circuit_distillation.parameters import validate
from circuit_distillation.planning.models import downloads_of, shapes_of
from circuit_distillation.planning.plan import Row, faults, n_items, plan, to_text
from circuit_distillation.planning.shapes import KNOWN
from circuit_distillation.planning.work import ablation_flops, forward_flops

SHAPES = dict(zip(grid.roles(), KNOWN.values(), strict=True))
MEDIUM = SHAPES["medium"].parameters
T = 5 + 7 * 7  # tokens of a prompt about seven boxes
N_TEST, N_MAPPING, N_VALIDATION = (7 * n for n in (430, 72, 72))


@pytest.fixture(autouse=True)
def loaded_family() -> Iterator[None]:
    grid.select("entity", (), loaded=True)
    yield
    grid.select("entity")


def parameters_of(**blocks) -> dict:
    """Those of the paper's setting, with changes in some blocks."""
    shipped = copy.deepcopy(shipped_parameters("base", "llama3"))
    for name, changes in blocks.items():
        shipped[name] |= changes
    return shipped


def rows_of(downloads=(), **blocks) -> dict[str, Row]:
    rows = plan(validate(parameters_of(**blocks)), SHAPES, downloads)
    return {row.stage: row for row in rows}


def faults_of(rows: dict[str, Row], memory=80e9, *free: float) -> list[str]:
    return faults(list(rows.values()), memory, *(free or (1e13,)))


def test_work_and_hours_of_tuning_by_hand():
    tuned = rows_of()["tune small (full)"]
    assert tuned.flops == 8 * SHAPES["small"].parameters * 66 * 1_746_300  # three passes, one to recompute
    assert tuned.hours("A100", 0.4) == pytest.approx(tuned.flops / (312e12 * 0.4) / 3600)
    assert tuned.hours("H100", 0.4, n_gpus=2) == pytest.approx(tuned.flops / (2 * 989e12 * 0.4) / 3600)


def test_students_and_tables_by_hand():
    rows = rows_of(distillation={"gradient_checkpointing": False})
    small, medium, large = (forward_flops(shape, T) for shape in SHAPES.values())
    full, few = rows["medium.full_ce"], rows["medium.circuit_ce"]
    assert full.flops == 6 * MEDIUM * 1750 * 32 * T + 15 * N_VALIDATION * medium
    assert full.disk == 4 * MEDIUM
    assert few.flops < full.flops and few.memory < full.memory - 10 * MEDIUM
    n_arms, n_random = len(grid.arms()), validate(parameters_of()).evaluation.n_random_circuits_row
    passes = 2 * (small + medium + large) + n_arms * (small + medium)
    assert rows["predictions"].flops == pytest.approx(N_TEST * (2 + n_random) * passes)


def test_the_8b_model_cannot_be_tuned_in_full_on_one_gpu_and_the_remedy_is_named():
    full = {"method": dict.fromkeys(grid.roles(), "full")}
    (line,) = faults_of(rows_of(finetuning=full))
    assert line.startswith("tune large (full) needs 1") and "finetuning.method.large=lora" in line
    assert faults_of(rows_of(finetuning=full | {"processes": 4, "sharded": True})) == []


def test_a_bank_costs_a_forward_where_rows_are_compared_and_the_memory_of_one_batch():
    one = rows_of(distillation={"gradient_checkpointing": False})
    four = rows_of(distillation={"gradient_checkpointing": False, "bank_batches": 4})
    plain, banked = (rows["medium.full_ce"].memory for rows in (one, four))
    assert banked - plain == pytest.approx(0, abs=4 * MEDIUM)  # gradients alone stay
    n_tokens, looks = 14 * 31 * 4 * 32 * T, 4 * N_VALIDATION * forward_flops(SHAPES["medium"], T)
    assert four["medium.circuit_ce_align_cka"].flops - looks == (4 + 2) * MEDIUM * n_tokens
    assert four["medium.full_ce"].flops - looks == 6 * MEDIUM * n_tokens


def test_processes_share_a_batch():
    alone, shared = (rows_of(distillation=how) for how in ({"batch_size": 8}, {"processes": 4}))
    for stage in ("medium.full_ce", "medium.circuit_ce"):
        assert shared[stage].memory == alone[stage].memory


def test_checkpoints_pass_and_what_does_not_fit_a_disk_is_named():
    rows = rows_of(downloads=SHAPES)
    passing, cache = 24.0 * MEDIUM, sum(2.0 * shape.parameters for shape in SHAPES.values())
    assert rows["medium.full_ce"].passing == rows["tune medium (full)"].passing == passing
    signals = [row.disk for stage, row in rows.items() if stage.startswith("teacher's signals")]
    assert signals == [4000 * 32 * 2 * 4096 * 4] * 2
    needed = sum(row.disk for row in rows.values()) + passing
    assert faults_of(rows, 80e9, needed, cache) == faults_of(rows, 80e9, needed + cache) == []
    (line,) = faults_of(rows, 80e9, needed - 1e6, cache)
    assert "GB are free: set data_root" in line
    (line,) = faults_of(rows, 80e9, needed, cache - 1e6)
    assert line.startswith("downloads need 25 GB of disk") and "HF_HOME" in line


def test_all_of_a_file_is_planned_for_and_more_than_it_has_is_refused(tmp_path):
    file = tmp_path / "goat.json"
    file.write_text(
        json.dumps([{"instruction": f"{k}+1", "output": f"{k} + 1 = {k + 1}"} for k in range(30)])
    )
    shipped = parameters_of()
    chosen = shipped["data_generation"]["corpus"]["entity"]
    chosen |= {"source": {"path": str(file)}, "n_train": None, "n_heldout": 10}
    run = validate(shipped)
    assert n_items(run) == 20
    corpora = run.data_generation.corpus.model_dump()
    _check_corpus(corpora, "entity")
    corpora["entity"]["n_train"] = 21
    with pytest.raises(ValueError, match="n_train = 21: .* has 20 items left at most"):
        _check_corpus(corpora, "entity")


def test_a_model_in_a_folder_is_not_downloaded(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    shipped = parameters_of()
    shipped["family"]["models"]["small"] = {"path": str(tmp_path)}
    run = validate(shipped)
    assert downloads_of(run) == ["medium", "large"]
    assert shapes_of(run)["small"].n_layers == tiny_model().config.num_hidden_layers


@pytest.mark.parametrize("task", ["entity", "tom"])
def test_the_shipped_run_fits_one_gpu_of_80_gb_and_every_stage_has_a_row(task):
    run = validate(parameters_of() | {"task": task})
    grid.select(task, (), loaded=True, instruct=True)
    rows = plan(run, shapes_of(run), downloads_of(run))
    stages = {row.stage: row for row in rows}
    assert faults(rows, 1e9 * run.machine.gpu_memory_gb, 1e13) == []
    assert sum(stage.startswith("download") for stage in stages) == (6 if task == "tom" else 3)
    lines = to_text(rows, 0.4, 1).splitlines()
    assert len(lines) == len(rows) + 3 and lines[-1].startswith("| all |")
    if task == "tom":  # the table of instruction-tuned models
        n_mapping = 4 * 128
        ablated = ablation_flops(SHAPES["large"], 195) * n_mapping
        of_instruct, of_tuned = (stages[f"circuit of {kind} large"].flops for kind in ("instruct", "tuned"))
        assert of_instruct == pytest.approx(of_tuned - ablated)
