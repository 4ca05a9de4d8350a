"""Being here puts tests/ on the import path, so that tests can import the naive twins under tests/naive."""

from __future__ import annotations

import copy

import pytest
import torch
from configuration import shipped_parameters

torch.set_num_threads(1)

# They share the data folder of a whole run (`data_root`), which two processes would both make.
WHOLE_RUN = {
    f"tests/pipelines/test_{name}.py" for name in ("distillation", "end_to_end", "faults", "notebooks", "viz")
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """For `--dist loadfile`: a process gets whole files, and one process all files of the whole run."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "whole run" if file in WHOLE_RUN else file

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture
def shipped() -> dict:
    """The parameters of conf/base, with the defaults of globals.yml filled in; a test may change them."""
    return copy.deepcopy(shipped_parameters("base"))
