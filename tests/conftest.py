"""Being here puts tests/ on the import path, so that tests can import the naive twins under tests/naive."""

from __future__ import annotations

import copy

import pytest
import torch
from configuration import shipped_parameters

torch.set_num_threads(1)


@pytest.fixture
def shipped() -> dict:
    """The parameters of conf/base, with the defaults of globals.yml filled in; a test may change them."""
    return copy.deepcopy(shipped_parameters("base"))
