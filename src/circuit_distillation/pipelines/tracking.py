"""Log to MLflow from nodes; a failure of MLflow does not stop them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from circuit_distillation.storage.errors import first_line

logger = logging.getLogger(__name__)


@contextmanager
def going_on(what: str) -> Iterator[None]:
    """Tell of an error of MLflow in here instead of raising it: results must not be lost with a server."""
    try:
        yield
    except Exception as error:  # of any kind: MLflow passes on those of its stores
        logger.warning("MLflow has failed (%s): not logged is %s", first_line(error), what)


def flatten(mapping: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
