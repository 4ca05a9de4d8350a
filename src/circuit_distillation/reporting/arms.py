"""Names of the rows: how role and arm are called in the paper's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

ROLES = ("small", "medium", "large")
STUDENTS = ("small", "medium")
# Arms that no experiment changes: their rows stand in the table of every experiment.
UPSTREAM_ARMS = (
    "base",
    "tuned",
    "tuned_corpus",
    "instruct",
    "base_discovered",
    "tuned_discovered",
    "instruct_discovered",
)

_LOSSES = {
    "ce": "CE",
    "align_cka": "Align CKA",
    "ce_rand_cka": "CE + Rand CKA",
    "ce_align_cka": "CE + Align CKA",
}
_BEYOND = {
    "base_discovered": ("Discovered circuits", "Base-{label}", ""),
    "instruct_discovered": ("Discovered circuits", "Base-{label}-Instruct", ""),
    "full_kl": ("Beyond the paper", "Base-{label}", "KL, all weights"),
    "layer_cka": ("Beyond the paper", "Base-{label}", "CE + layer CKA"),
    "random_heads_ce_align_cka": (
        "Beyond the paper",
        "Base-{label} (random heads trained)",
        "CE + Align CKA",
    ),
}
_BASELINES = {
    ("entity", "tuned"): "GOAT-{label}",
    ("tom", "tuned"): "Base-{label}-Alpaca",
    ("entity", "tuned_discovered"): "GOAT-{label}",
    ("tom", "tuned_discovered"): "Base-{label}-Alpaca",
    ("entity", "tuned_corpus"): "GOAT-{label} (corpus alone)",
    ("tom", "tuned_corpus"): "Base-{label}-Alpaca (corpus alone)",
}
# Tuned models of tasks that the paper does not have, by block.
_TUNED = {
    "tuned": "Baselines",
    "tuned_corpus": "Baselines, corpus alone",
    "tuned_discovered": "Discovered circuits",
}


class RowName(NamedTuple):
    """The first three columns of a table."""

    block: str
    model: str
    loss: str


def row_name(task: str, role: str, arm: str, labels: Mapping[str, str]) -> RowName:
    """Block, model and loss of a row; `labels` are the family's labels, e.g. {"small": "1B", ...}.

    Arms of neither the paper nor the extensions keep their own name, in the block "Beyond the paper".
    """
    if role not in labels:
        raise ValueError(f"the family has no label for role {role!r}; it has {', '.join(labels)}")
    block, model, loss = _templates(task, arm)
    return RowName(block, model.format(label=labels[role]), loss)


def _templates(task: str, arm: str) -> tuple[str, str, str]:
    if arm == "base":
        return "Baselines", "Base-{label}", ""
    if arm == "instruct":
        return "Baselines", "Base-{label}-Instruct", ""
    if (task, arm) in _BASELINES:
        block = "Discovered circuits" if arm == "tuned_discovered" else "Baselines"
        return block, _BASELINES[task, arm], "CE"
    if arm in _TUNED:
        return _TUNED[arm], "Tuned-{label}", "CE"
    if arm == "full_ce":
        return "Fully Distilled", "Base-{label}", "CE"
    for prefix, model in (("goat_circuit_", "Base-{label} (GOAT-style)"), ("circuit_", "Base-{label}")):
        loss = _LOSSES.get(arm.removeprefix(prefix))
        if arm.startswith(prefix) and loss:
            return "Circuit Distilled", model, loss
    return _BEYOND.get(arm, ("Beyond the paper", "Base-{label}", arm))
