"""Compare two experiments by their stored predictions."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


def compare_experiments(predictions, experiments: str):
    """A row for each run, student, arm and scope, with McNemar's test; also logged."""
    from circuit_distillation.reporting.comparison import compare, to_text

    table = compare(predictions, *experiments.split("+"))
    log.info("%s\n%s", experiments, to_text(table))
    return table
