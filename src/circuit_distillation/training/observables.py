"""What of a head is compared between student and teacher; importing this module imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Observable:
    """An entry's name is the method of `models.attention_inputs.RecordedAttention` that reads it.

    label: for pages. distribution: whether a row is a distribution over the tokens of the prompt.
    """

    label: str
    distribution: bool = False


OBSERVABLES = {
    "z": Observable("head outputs z"),  # the paper
    "output": Observable("what heads write, W_O z"),
    "attention": Observable("attention rows", distribution=True),
    "relations": Observable("value relations", distribution=True),
}
