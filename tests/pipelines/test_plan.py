"""The shipped setting of the paper against the GPU it is meant for."""

from __future__ import annotations

import copy

import pytest
from configuration import shipped_parameters

from circuit_distillation import grid
from circuit_distillation.parameters import validate
from circuit_distillation.pipelines.plan.nodes import _setting
from circuit_distillation.planning.plan import faults, plan


@pytest.mark.parametrize("task", ["entity", "tom"])
def test_the_shipped_run_fits_one_gpu_of_80_gb(task):
    told = validate(copy.deepcopy(shipped_parameters("base", "llama3")) | {"task": task})
    grid.select(task, (), loaded=True, instruct=True)
    rows = plan(_setting(told))
    assert faults(rows, 1e9 * told.machine.gpu_memory_gb, 1e13) == []
    assert sum(row.stage.startswith("download") for row in rows) == (6 if task == "tom" else 3)
