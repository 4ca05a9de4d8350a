"""The shipped setting of the paper against the GPU it is meant for."""

from __future__ import annotations

import copy
import json

import pytest
from configuration import shipped_parameters
from naive.tiny_models import tiny_model

from circuit_distillation import grid
from circuit_distillation.hooks.models import _check_corpus
from circuit_distillation.parameters import validate
from circuit_distillation.pipelines.plan.nodes import _setting
from circuit_distillation.planning.plan import faults, plan


def test_all_of_a_file_is_planned_for_and_more_than_it_has_is_refused(tmp_path):
    file = tmp_path / "goat.json"
    file.write_text(
        json.dumps([{"instruction": f"{k}+1", "output": f"{k} + 1 = {k + 1}"} for k in range(30)])
    )
    shipped = copy.deepcopy(shipped_parameters("base", "llama3"))
    chosen = shipped["data_generation"]["corpus"]["entity"]
    chosen |= {"source": {"path": str(file)}, "n_train": None, "n_heldout": 10}
    parameters = validate(shipped)
    assert _setting(parameters).tuning["small"].n_items == 20
    corpora = parameters.data_generation.corpus.model_dump()
    _check_corpus(corpora, "entity")
    corpora["entity"]["n_train"] = 21
    with pytest.raises(ValueError, match="n_train = 21: .* has 20 items left at most"):
        _check_corpus(corpora, "entity")


def test_batches_of_a_bank_and_shares_of_processes_reach_the_plan_and_a_folder_is_not_downloaded(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    shipped = copy.deepcopy(shipped_parameters("base", "llama3"))
    shipped["distillation"] |= {"bank_batches": 4, "processes": 4}
    shipped["family"]["models"]["small"] = {"path": str(tmp_path)}
    grid.select("entity", (), loaded=True)
    setting = _setting(validate(shipped))
    assert (setting.batch_size, setting.bank_batches, setting.processes) == (32, 4, 4)
    assert setting.downloads == ("medium", "large")


@pytest.mark.parametrize("task", ["entity", "tom"])
def test_the_shipped_run_fits_one_gpu_of_80_gb(task):
    parameters = validate(copy.deepcopy(shipped_parameters("base", "llama3")) | {"task": task})
    grid.select(task, (), loaded=True, instruct=True)
    rows = plan(_setting(parameters))
    assert faults(rows, 1e9 * parameters.machine.gpu_memory_gb, 1e13) == []
    assert sum(row.stage.startswith("download") for row in rows) == (6 if task == "tom" else 3)
