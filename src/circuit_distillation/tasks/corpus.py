"""One tuning example, and a hold-out by content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Instruction:
    """`prompt + response` is the whole text; the two are tokenised apart, so that no token spans the seam.

    `content` is what the hold-out goes by: an arithmetic expression whatever its wording, else the prompt.
    """

    kind: str
    prompt: str
    response: str
    content: str


def content_hash(content: str) -> int:
    """A number below 2^64 that depends on the content alone."""
    return int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big")


def is_held_out(instruction: Instruction, fraction: float) -> bool:
    """Whether the content's hash is in the first `fraction` of all hashes; the same in every corpus."""
    return content_hash(instruction.content) < fraction * 2**64


def hold_out(
    instructions: Iterable[Instruction], fraction: float
) -> tuple[list[Instruction], list[Instruction]]:
    """(rest, held out): no content is in both, here or in another corpus divided by the same fraction."""
    if not 0 < fraction < 1:
        raise ValueError(f"The fraction to hold out must lie between 0 and 1, not {fraction}.")
    parts: tuple[list[Instruction], list[Instruction]] = ([], [])
    for instruction in instructions:
        parts[is_held_out(instruction, fraction)].append(instruction)
    return parts
