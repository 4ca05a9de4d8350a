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

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from circuit_distillation.circuits.block import answer_log_probs
from circuit_distillation.circuits.clean_runs import MEMORY_BUDGET_MB, RecordedRuns
from circuit_distillation.circuits.paths import PatchedPath, checked_path
from circuit_distillation.circuits.precision import compute_dtype
from circuit_distillation.circuits.progress import ScoreRecord
from circuit_distillation.circuits.prompts import Position, equal_rows
from circuit_distillation.circuits.receiver_suffix import ReceiverSuffix
from circuit_distillation.circuits.receivers import Receivers
from circuit_distillation.circuits.sender_stream import sender_streams
from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import CausalLM, architecture

SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "probability": torch.expm1,  # (p_patched - p_clean) / p_clean
    "log_prob": lambda change: change,
}


@torch.no_grad()
def score_heads(
    model: CausalLM,
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
    runs: RecordedRuns | None = None,
    record: ScoreRecord | None = None,
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

    `runs` (of the same prompts) lets several calls share the recorded runs; `record` (of `new_record`) shows
    and keeps progress: what it already holds is not computed again. Beside the weights and the result at most
    `memory_budget_mb` MB are used, or what one example needs if that is more, plus block.SCRATCH_BYTES.
    """
    path = checked_path(
        model,
        clean_ids,
        answer_ids,
        (sender_position, corrupt_position, receiver_position),
        attention_mask,
        (receivers, receiver_input, kv_scope),
    )
    if score not in SCORES:
        raise ValueError(f"score must be one of {', '.join(SCORES)}, not {score!r}")
    if runs is None:
        runs = RecordedRuns(
            model,
            clean_ids,
            corrupt_ids,
            attention_mask=attention_mask,
            memory_budget_mb=memory_budget_mb,
            clean_start=int(path.senders.min()),
            corrupt_start=int(path.corrupted.min()),
        )
    runs.check((clean_ids, path.senders), (corrupt_ids, path.corrupted), path.lengths)
    with record or new_record(model, len(clean_ids)) as changing:
        _score(changing, runs, path, answer_ids)
    arch = architecture(model)
    return SCORES[score](changing.changes).view(arch.n_layers, arch.n_heads, -1)


def new_record(
    model: CausalLM, n_examples: int, *, path: Path | None = None, key: str = "", label: str | None = None
) -> ScoreRecord:
    """An empty record for `score_heads`, or what the file `path` holds if it was written under the same
    key."""
    shape = (architecture(model).n_total_heads, n_examples)
    return ScoreRecord(
        shape, compute_dtype(model), model.lm_head.weight.device, path=path, key=key, label=label
    )


def _score(record: ScoreRecord, runs: RecordedRuns, path: PatchedPath, answers: Tensor) -> None:
    """Fills the record, chunk by chunk of examples."""
    n_heads, receivers = architecture(runs.model).n_heads, path.receivers
    reach = None if receivers is None else receivers.layers[-1] * n_heads
    for index, rows in enumerate(runs.chunks):
        if reach is not None:
            record.set(slice(reach, None), rows, 0.0)
        if record.to_do(slice(reach), rows):
            chunk = _Chunk(record, runs, index, path.senders[rows], path.corrupted[rows], answers[rows])
            chunk.direct() if receivers is None else chunk.through(receivers)


class _Chunk:
    """Some examples of the runs, with their sender positions and answers, [n]."""

    def __init__(
        self,
        record: ScoreRecord,
        runs: RecordedRuns,
        index: int,
        senders: Tensor,
        corrupted: Tensor,
        answers: Tensor,
    ):
        self.record, self.model, self.budget = record, runs.model, runs.budget // 4
        self.rows, self.senders, self.answers = runs.chunks[index], senders, answers
        self.last = runs.lengths[self.rows] - 1
        self.clean, corrupt_z = runs.chunk(index)
        kept = (senders - self.clean.start, corrupted - runs.corrupt_start)
        self.stream_inputs = (self.model, self.clean, corrupt_z, *kept)

    def direct(self) -> None:
        """Sender -> logits: 0 from any token but the last, since no head carries it on."""
        streams, _ = sender_streams(*self.stream_inputs, None)
        log_probs, _ = answer_log_probs(self.model, streams, self.answers)
        changes = (log_probs[1:] - log_probs[0]).masked_fill(self.senders != self.last, 0.0)
        self.record.set(slice(None), self.rows, changes)

    def through(self, receivers: Receivers) -> None:
        """Sender -> receivers -> logits; one run of suffixes for examples of equal position and length."""
        _, recorded = sender_streams(*self.stream_inputs, receivers)
        for (start, last), group in equal_rows(self.senders, self.last):
            suffix = ReceiverSuffix(self.model, self.clean, start, last, receivers)
            size = max(1, self.budget // suffix.bytes_per_stream)
            for part in group.split(size):
                self._suffixes(suffix, part, max(1, size // len(part)), recorded)

    def _suffixes(self, suffix: ReceiverSuffix, part: Tensor, size: int, recorded: dict[int, Tensor]) -> None:
        """All senders that reach a receiver, of examples `part` of this chunk."""
        answers, rows = self.answers[part], self.rows[part]
        clean = suffix.log_probs(suffix.receivers.layers[0], part, answers, {})
        for heads, first in suffix.blocks(size):
            if self.record.to_do(heads, rows):
                patches = {layer: values[part, heads] for layer, values in recorded.items() if layer >= first}
                self.record.set(heads, rows, suffix.log_probs(first, part, answers, patches) - clean)
