"""The shipped setting of the paper against the GPU it is meant for."""

from __future__ import annotations

import copy
import json

import pytest
from configuration import shipped_parameters

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
    told = validate(shipped)
    assert _setting(told).tuning["small"].n_items == 20
    corpora = told.data_generation.corpus.model_dump()
    _check_corpus(corpora, "entity")
    corpora["entity"]["n_train"] = 21
    with pytest.raises(ValueError, match="n_train = 21: .* has 20 items left at most"):
        _check_corpus(corpora, "entity")


@pytest.mark.parametrize("task", ["entity", "tom"])
def test_the_shipped_run_fits_one_gpu_of_80_gb(task):
    told = validate(copy.deepcopy(shipped_parameters("base", "llama3")) | {"task": task})
    grid.select(task, (), loaded=True, instruct=True)
    rows = plan(_setting(told))
    assert faults(rows, 1e9 * told.machine.gpu_memory_gb, 1e13) == []
    assert sum(row.stage.startswith("download") for row in rows) == (6 if task == "tom" else 3)
