"""The table of all arms and reference models: what is trained, with which losses, and the row in tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple


class RowName(NamedTuple):
    """The first three columns of a table."""

    block: str
    model: str
    loss: str


@dataclass(frozen=True)
class Arm:
    """One way to train a student.

    trained: all weights, the circuit heads, or as many heads drawn at random outside the circuit.
    loss: cross-entropy to the labels of the settings, KL to the teacher's distribution, or no label loss.
    row: where it stands in the tables; `{label}` is that of the student.
    pairs: no alignment, the mapped pairs (eq. 5), the random control pairs, pairs by function, or with a head
    of another function.
    sites: what is aligned, heads or the residual streams of the layers that hold them.
    teacher_prompts: `permuted` aligns with the teacher on other prompts of the layout: a control.
    own: what the arm differs in by definition; of lower rank than the search and the command line alone.
    data: the prompts of the task, or the tuning corpus (the "GOAT-style" students of Table 3).
    tasks: for which it exists; None: for all. group: `extra` arms are off by default.
    settings_of: the arm of the paper whose searched settings it takes; empty: its own.
    """

    trained: Literal["all", "heads", "random_heads"]
    loss: Literal["ce", "kl", "none"]
    row: RowName
    pairs: Literal["none", "mapped", "random", "function", "other_role"] = "none"
    sites: Literal["heads", "layers"] = "heads"
    teacher_prompts: Literal["same", "permuted"] = "same"
    own: Mapping[str, Any] = field(default_factory=dict)
    data: Literal["task", "corpus"] = "task"
    tasks: tuple[str, ...] | None = None
    group: Literal["paper", "corpus", "extra"] = "paper"
    settings_of: str = ""


def _circuit(loss: str, model: str = "Base-{label}") -> RowName:
    return RowName("Circuit Distilled", model, loss)


def _beyond(loss: str, model: str = "Base-{label}") -> RowName:
    return RowName("Beyond the paper", model, loss)


_PAPER = {
    "full_ce": Arm("all", "ce", RowName("Fully Distilled", "Base-{label}", "CE")),
    "circuit_ce": Arm("heads", "ce", _circuit("CE")),
    "circuit_align_cka": Arm("heads", "none", _circuit("Align CKA"), "mapped"),
    "circuit_ce_rand_cka": Arm("heads", "ce", _circuit("CE + Rand CKA"), "random"),
    "circuit_ce_align_cka": Arm("heads", "ce", _circuit("CE + Align CKA"), "mapped"),
}
CIRCUIT_ARMS = tuple(name for name, arm in _PAPER.items() if arm.trained == "heads")


def _goat(name: str) -> Arm:
    """A circuit arm of the paper on the tuning corpus alone."""
    row = _circuit(_PAPER[name].row.loss, "Base-{label} (GOAT-style)")
    return replace(_PAPER[name], row=row, data="corpus", tasks=("entity",), group="corpus", settings_of=name)


# What heads do: their attention, at the tokens where ablating the student's head moves the answer.
_ATTENTION = {"observable": "attention", "similarity": "kl", "rows": "acting", "cka_weight": 1.0}
_OUTPUT = {"observable": "output", "similarity": "cka", "rows": "last", "cka_weight": 1.0}
_Z = {"observable": "z", "similarity": "cka", "rows": "last", "cka_weight": 1.0}


def _by_function(row: str, own: Mapping[str, Any]) -> Arm:
    return Arm("heads", "ce", _beyond(row), "function", own=own, group="extra")


_BY_FUNCTION = {
    "circuit_ce_attention": _by_function("CE + attention", _ATTENTION),
    "circuit_ce_output": _by_function("CE + written outputs", _OUTPUT),
    "circuit_ce_function_cka": _by_function("CE + CKA, pairs by function", _Z),
}


def _control_of(name: str, row: RowName, **changes: Any) -> Arm:
    """An arm with one thing changed."""
    return replace(_BY_FUNCTION[name], row=row, **changes)


_RANDOM_HEADS = "Base-{label} (random heads trained)"
ARMS: dict[str, Arm] = {
    **_PAPER,
    **{f"goat_{name}": _goat(name) for name in CIRCUIT_ARMS},
    "full_kl": Arm("all", "kl", _beyond("KL, all weights"), group="extra"),
    "layer_cka": Arm("heads", "ce", _beyond("CE + layer CKA"), "mapped", "layers", group="extra"),
    "random_heads_ce_align_cka": Arm(
        "random_heads",
        "ce",
        _beyond("CE + Align CKA", _RANDOM_HEADS),
        "mapped",
        group="extra",
        settings_of="circuit_ce_align_cka",
    ),
    **_BY_FUNCTION,
    "circuit_ce_attention_eq5": _control_of(
        "circuit_ce_attention", _beyond("CE + attention, pairs of eq. 5"), pairs="mapped"
    ),
    "circuit_ce_attention_other_role": _control_of(
        "circuit_ce_attention", _beyond("CE + attention, pairs of other roles"), pairs="other_role"
    ),
    "circuit_ce_attention_permuted": _control_of(
        "circuit_ce_attention", _beyond("CE + attention of other prompts"), teacher_prompts="permuted"
    ),
    "circuit_attention": _control_of("circuit_ce_attention", _beyond("attention alone"), loss="none"),
    "random_heads_ce_attention": _control_of(
        "circuit_ce_attention", _beyond("CE + attention", _RANDOM_HEADS), trained="random_heads"
    ),
    "circuit_ce_function_cka_other_role": _control_of(
        "circuit_ce_function_cka", _beyond("CE + CKA, pairs of other roles"), pairs="other_role"
    ),
    "circuit_ce_function_cka_permuted": _control_of(
        "circuit_ce_function_cka", _beyond("CE + CKA of other prompts"), teacher_prompts="permuted"
    ),
    "circuit_function_cka": _control_of(
        "circuit_ce_function_cka", _beyond("CKA alone, pairs by function"), loss="none"
    ),
}
PROPOSED = "circuit_ce_align_cka"  # the paper's own, which the tests compare with its rivals


def _of_group(group: str) -> tuple[str, ...]:
    return tuple(name for name, arm in ARMS.items() if arm.group == group)


PAPER_ARMS, CORPUS_ARMS, EXTRA_ARMS = map(_of_group, ("paper", "corpus", "extra"))
# Arms that the search gives one learning rate, as the paper has one for all: what differs is to be the loss.
ONE_RATE_ARMS = tuple(name for name in CIRCUIT_ARMS if ARMS[name].loss == "ce")

# Models that no arm trains. No experiment changes them: their rows stand in the table of every experiment.
_KINDS = {
    "base": RowName("Baselines", "Base-{label}", ""),
    "tuned": RowName("Baselines", "{tuned}", "CE"),
    "tuned_corpus": RowName("Baselines", "{tuned} (corpus alone)", "CE"),
    "instruct": RowName("Baselines", "Base-{label}-Instruct", ""),
}
REFERENCES = _KINDS | {
    f"{kind}_discovered": row._replace(block="Discovered circuits") for kind, row in _KINDS.items()
}
_TUNED = {"entity": "GOAT-{label}", "tom": "Base-{label}-Alpaca"}  # as the paper calls its tuned models


def row_name(task: str, role: str, arm: str, labels: Mapping[str, str]) -> RowName:
    """Block, model and loss of a row; `labels` are the family's labels, e.g. {"small": "1B", ...}.

    Arms that no table here has keep their own name, in the block "Beyond the paper".
    """
    if role not in labels:
        raise ValueError(f"the family has no label for role {role!r}; it has {', '.join(labels)}")
    row = REFERENCES.get(arm) or (ARMS[arm].row if arm in ARMS else _beyond(arm))
    tuned = _TUNED.get(task, "Tuned-{label}").format(label=labels[role])
    return row._replace(model=row.model.format(label=labels[role], tuned=tuned))
