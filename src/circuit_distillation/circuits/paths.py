"""A path that is patched: from heads at one position to the heads that read them, or to the logits."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from circuit_distillation.circuits.prompts import (
    Position,
    check_answers,
    prompt_lengths,
    resolve_position,
)
from circuit_distillation.circuits.receivers import Receivers, check_receivers
from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import CausalLM, architecture


@dataclass(frozen=True)
class PatchedPath:
    """Where heads are patched, and what reads them."""

    lengths: Tensor  # [example], tokens of each prompt
    senders: Tensor  # [example], absolute positions
    corrupted: Tensor  # [example], in the corrupted prompt
    receivers: Receivers | None  # None: the logits


def checked_path(
    model: CausalLM,
    clean_ids: Tensor,
    answer_ids: Tensor,
    positions: tuple[Position, Position | None, Position | None],
    attention_mask: Tensor | None,
    receivers: tuple[list[Head] | None, str | None, str],
) -> PatchedPath:
    """The path that arguments of `score_heads` name; ValueError if they contradict each other or the prompts.

    positions are those of the sender, in the corrupted prompt, and of the receivers; receivers are the heads,
    their input and the scope of k and v.
    """
    lengths = prompt_lengths(model, clean_ids, attention_mask)
    arch = architecture(model)
    check_answers(answer_ids, clean_ids, arch.vocab_size)
    sender_position, *others = positions
    senders = resolve_position(sender_position, lengths, "sender_position")
    corrupted, receiving = (
        senders if position is None else resolve_position(position, lengths, name)
        for name, position in zip(("corrupt_position", "receiver_position"), others, strict=True)
    )
    if (receiving != senders).any():
        raise ValueError("receiver_position must equal sender_position: the path does not cross positions")
    return PatchedPath(lengths, senders, corrupted, check_receivers(arch, *receivers))
