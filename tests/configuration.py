"""The parameters that the project ships, as a run without --params reads them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

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
