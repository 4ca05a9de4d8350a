"""Being here puts tests/ on the import path, so that tests can import the naive twins under tests/naive."""

from __future__ import annotations

import copy

import pytest
import torch
from configuration import shipped_parameters

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several processes a file stays in one, and all that use the finished small run in the same."""
    for item in items:
        shared = "data_root" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("data_root" if shared else str(item.path)))


@pytest.fixture
def shipped() -> dict:
    """The parameters of conf/base, with the defaults of globals.yml filled in; a test may change them."""
    return copy.deepcopy(shipped_parameters("base"))
