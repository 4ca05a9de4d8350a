"""Log to MLflow from nodes; a failure of MLflow does not stop them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from circuit_distillation.storage.errors import first_line

logger = logging.getLogger(__name__)


@contextmanager
def going_on(what: str) -> Iterator[None]:
    """Tell of an error of MLflow in here instead of raising it: results must not be lost with a server."""
    try:
        yield
    except Exception as error:  # of any kind: MLflow passes on those of its stores
        logger.warning("MLflow has failed (%s): not logged is %s", first_line(error), what)
