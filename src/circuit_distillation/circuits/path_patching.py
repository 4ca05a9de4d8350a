"""Path patching of every head at once, exactly.

One call scores all heads of a model for one stage of a backward circuit search (Prakash et al. 2024, after
Wang et al. 2022). The definition is that of two hooked forwards a head:

1. every head's output z from the sender position on is frozen to its clean value, except the sender, whose z
   at the sender position comes from the corrupted prompt; MLPs and norms are live. What the receivers read is
   recorded;
2. in a clean forward the receivers read the recorded q, k or v at the receiver position; all else is live.

Without receivers step 1 alone gives the score. Only what can change is computed: one token a sender in step 1
(see sender_stream), the tokens from the receiver position on and the layers from the first receiver on in
step 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from circuit_distillation.circuits.block import answer_log_probs, residual_dtype, weight_dtype
from circuit_distillation.circuits.clean_runs import MEMORY_BUDGET_MB, CleanRun, PatchingRuns, prefix
from circuit_distillation.circuits.layers import Edit, rope_of, run_layer
from circuit_distillation.circuits.prompts import (
    Position,
    check_answers,
    equal_rows,
    prompt_lengths,
    resolve_position,
)
from circuit_distillation.circuits.sender_stream import Head, Receivers, sender_streams
from circuit_distillation.models.architecture import Architecture, architecture, decoder_layers

SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "probability": torch.expm1,  # (p_patched - p_clean) / p_clean
    "log_prob": lambda change: change,
}


@torch.no_grad()
def score_heads(
    model: nn.Module,
    clean_ids: Tensor,
    corrupt_ids: Tensor,
    answer_ids: Tensor,
    sender_position: Position,
    *,
    attention_mask: Tensor | None = None,
    corrupt_position: Position | None = None,
    receivers: list[Head] | None = None,
    receiver_input: str | None = None,
    receiver_position: Position | None = None,
    kv_scope: str = "per_query_head",
    score: str = "probability",
    runs: PatchingRuns | None = None,
    memory_budget_mb: float = MEMORY_BUDGET_MB,
) -> Tensor:
    """Effect of patching each head from the corrupted prompt on the answer, [layer, head, example].

    clean_ids, corrupt_ids and attention_mask (right padding) are [example, position]; answer_ids [example].
    Positions are ints (negative ones count from the end) or [example]. Without `receivers` the path is sender
    -> logits; with them sender -> q, k or v (`receiver_input`) of all of them at once -> logits, where the
    receiver position must be the sender position. Under GQA `kv_scope` says whether the receiver query head
    alone reads the new k or v ("per_query_head") or its whole group does ("group").

    `score` is "probability", (p_patched - p_clean) / p_clean of the answer after the last token, or
    "log_prob", log p_patched - log p_clean. Senders that cannot reach a receiver score exactly 0.

    `runs` (of the same prompts) lets several calls share the recorded runs. Beside the weights and the result
    at most `memory_budget_mb` MB are used, or what one example needs if that is more, plus
    block.SCRATCH_BYTES.
    """
    lengths = prompt_lengths(model, clean_ids, attention_mask)
    arch = architecture(model)
    check_answers(answer_ids, clean_ids, arch.vocab_size)
    senders = resolve_position(sender_position, lengths, "sender_position")
    corrupted = (
        senders
        if corrupt_position is None
        else resolve_position(corrupt_position, lengths, "corrupt_position")
    )
    if (
        receiver_position is not None
        and (resolve_position(receiver_position, lengths, "receiver_position") != senders).any()
    ):
        raise ValueError("receiver_position must equal sender_position: the path does not cross positions")
    reading = check_receivers(arch, receivers, receiver_input, kv_scope)
    if score not in SCORES:
        raise ValueError(f"score must be one of {', '.join(SCORES)}, not {score!r}")
    if runs is None:
        runs = PatchingRuns(
            model,
            clean_ids,
            corrupt_ids,
            attention_mask=attention_mask,
            memory_budget_mb=memory_budget_mb,
            clean_start=int(senders.min()),
            corrupt_start=int(corrupted.min()),
        )
    runs.check(clean_ids, corrupt_ids, lengths, senders, corrupted)
    changes = torch.zeros(
        arch.n_total_heads, len(clean_ids), dtype=residual_dtype(model), device=clean_ids.device
    )
    for index, rows in enumerate(runs.chunks):
        chunk = _Chunk(
            runs, *runs.chunk(index), senders[rows], corrupted[rows], lengths[rows], answer_ids[rows]
        )
        reached = chunk.direct() if reading is None else chunk.through(reading)
        changes[: len(reached), rows] = reached
    return SCORES[score](changes).view(arch.n_layers, arch.n_heads, -1)


def check_receivers(
    arch: Architecture, heads: list[Head] | None, which: str | None, kv_scope: str
) -> Receivers | None:
    """Receivers by layer, or None for the logits; ValueError if the arguments contradict each other."""
    if kv_scope not in ("per_query_head", "group"):
        raise ValueError(f"kv_scope must be per_query_head or group, not {kv_scope!r}")
    if heads is None:
        if which is not None:
            raise ValueError("receiver_input needs receivers: give both or neither")
        return None
    if which not in ("q", "k", "v"):
        raise ValueError(f"receiver_input must be q, k or v, not {which!r}")
    if not heads:
        raise ValueError("receivers is empty: give at least one head, or None for the logits")
    by_layer: dict[int, list[int]] = {}
    for layer, head in sorted(set(heads)):
        if not (0 <= layer < arch.n_layers and 0 <= head < arch.n_heads):
            raise ValueError(
                f"receiver {(layer, head)} is outside {arch.n_layers} layers x {arch.n_heads} heads"
            )
        by_layer.setdefault(layer, []).append(head)
    return Receivers(by_layer, which, kv_scope)


class _Chunk:
    """Some examples of the runs: changes of the answer's log-probability, [sender, n], for the senders that
    reach."""

    def __init__(
        self,
        runs: PatchingRuns,
        clean: CleanRun,
        corrupt_z: list[Tensor],
        senders: Tensor,
        corrupted: Tensor,
        lengths: Tensor,
        answers: Tensor,
    ):
        self.model, self.clean, self.budget = runs.model, clean, runs.budget // 4
        self.senders, self.last, self.answers = senders, lengths - 1, answers
        self.stream_inputs = (
            self.model,
            clean,
            corrupt_z,
            senders - clean.start,
            corrupted - runs.corrupt_start,
        )

    def direct(self) -> Tensor:
        """Sender -> logits: 0 from any token but the last, since no head carries it on."""
        log_probs, _ = answer_log_probs(self.model, sender_streams(*self.stream_inputs, None), self.answers)
        return (log_probs[1:] - log_probs[0]).masked_fill(self.senders != self.last, 0.0)

    def through(self, receivers: Receivers) -> Tensor:
        """Sender -> receivers -> logits; one run of suffixes for examples of equal position and length."""
        recorded = sender_streams(*self.stream_inputs, receivers)
        n_senders = recorded[receivers.layers[-1]].shape[1]
        changes = torch.zeros(
            n_senders, len(self.last), dtype=residual_dtype(self.model), device=self.last.device
        )
        for (start, last), rows in equal_rows(self.senders, self.last):
            suffix = _Suffix(self.model, self.clean, start, last, receivers)
            size = max(1, self.budget // suffix.bytes_per_stream)
            for part in rows.split(size):
                here = {layer: values[part] for layer, values in recorded.items()}
                for low, changed in suffix.changes(here, part, self.answers[part], max(1, size // len(part))):
                    changes[low : low + len(changed), part] = changed
        return changes


class _Suffix:
    """Step 2 for prompts whose receiver position is `start` and whose last token is `last`."""

    def __init__(self, model: nn.Module, clean: CleanRun, start: int, last: int, receivers: Receivers):
        self.model, self.clean, self.receivers = model, clean, receivers
        self.arch, self.layers = architecture(model), decoder_layers(model)
        self.start, self.last = start, last
        self.n_padding = clean.k[0].shape[1] - 1 - last
        self.rope = rope_of(model, start, last + 1)

    @property
    def bytes_per_stream(self) -> int:
        """Scratch bytes of one sender of one example: residuals, q, k, v, z and attention weights, with
        copies."""
        tokens, keys = self.last + 1 - self.start, self.clean.k[0].shape[1]
        heads = self.arch.n_heads * (5 * self.arch.d_head * weight_dtype(self.model).itemsize + 16 * keys)
        return tokens * (heads + 4 * self.arch.d_model * residual_dtype(self.model).itemsize)

    def changes(
        self, recorded: dict[int, Tensor], rows: Tensor, answers: Tensor, size: int
    ) -> Iterator[tuple[int, Tensor]]:
        """Yields (first sender, changes [sender, n]), at most `size` senders at a time.

        Senders start at the first receiver layer above their own: before it the patched forward is the clean
        one.
        """
        base = self._log_probs(self.receivers.layers[0], rows, answers, {})
        bounds = [0] + [layer * self.arch.n_heads for layer in self.receivers.layers]
        for first, low, high in zip(self.receivers.layers, bounds, bounds[1:], strict=False):
            for start in range(low, high, size):
                stop = min(high, start + size)
                patches = {
                    layer: values[:, start:stop] for layer, values in recorded.items() if layer >= first
                }
                yield start, (self._log_probs(first, rows, answers, patches) - base).T

    def _log_probs(self, first: int, rows: Tensor, answers: Tensor, patches: dict[int, Tensor]) -> Tensor:
        """Log-probability of the answer, [n, sender], of forwards resumed at layer `first`."""
        offset = self.clean.start
        x = self.clean.residual[first][rows, self.start - offset : self.last + 1 - offset][:, None]
        for index in range(first, len(self.layers)):
            last_only = index == len(self.layers) - 1
            x, _ = run_layer(
                self.layers[index],
                x,
                prefix(self.clean, index, rows, self.start),
                self.rope,
                edit=self._edit(index, patches, last_only),
                last_only=last_only,
                n_padding=self.n_padding,
            )
        return answer_log_probs(self.model, x[:, :, 0], answers[:, None])[0]

    def _edit(self, index: int, patches: dict[int, Tensor], last_only: bool) -> dict[str, Edit]:
        if index not in patches:
            return {}
        which = self.receivers.which
        if which == "q" and last_only and self.start < self.last:
            return {}  # a query of the last layer matters at the last token only
        _, slots = self.receivers.slots(index, self.arch.group_size)
        repeats = 1 if which == "q" or self.receivers.kv_scope == "group" else self.arch.group_size
        return {
            which: lambda tensor: _overwrite(tensor.repeat_interleave(repeats, dim=3), patches[index], slots)
        }


def _overwrite(tensor: Tensor, values: Tensor, slots: list[int]) -> Tensor:
    """tensor [n, 1 or s, t, heads, d_head] with values [n, s, slot, d_head] in its first token's `slots`."""
    tensor = tensor.expand(-1, values.shape[1], -1, -1, -1).clone()
    tensor[:, :, 0, slots] = values
    return tensor
