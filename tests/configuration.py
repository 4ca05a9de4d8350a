"""The parameters that the project ships, as a run without --params reads them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from circuit_distillation.parameters import ParameterError, validate

CONF = Path(__file__).parent.parent / "conf"


@cache
def shipped_parameters(*environments: str) -> dict[str, Any]:
    """Parameters of the environments, later ones over earlier ones, with their globals filled in."""
    folders = [CONF / name for name in environments]
    defaults = OmegaConf.merge(*(OmegaConf.load(folder / "globals.yml") for folder in folders))
    OmegaConf.clear_resolver("globals")
    OmegaConf.register_new_resolver("globals", lambda key: defaults[key])
    paths = [path for folder in folders for path in sorted(folder.glob("parameters*.yml"))]
    parameters = OmegaConf.to_container(OmegaConf.merge(*map(OmegaConf.load, paths)), resolve=True)
    OmegaConf.clear_resolver("globals")
    return parameters


def assert_refused(parameters: dict[str, Any], path: str, value: Any, message: str) -> None:
    """Set one value, by its dotted path, and expect one line that holds the message."""
    *parents, key = [int(part) if part.isdigit() else part for part in path.split(".")]
    block = parameters
    for parent in parents:
        block = block[parent]
    block[key] = value
    with pytest.raises(ParameterError) as caught:
        validate(parameters)
    assert message in str(caught.value) and "\n" not in str(caught.value)
