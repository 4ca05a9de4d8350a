"""Attribution patching: path patching of every head at once by its first-order approximation.

Patching a head's output from z to z' changes the answer's log-probability by about (z' - z) . d log p / dz,
with the gradient taken along the path that `path_patching.score_heads` patches: all other heads frozen, MLPs
and norms live, receivers read the change. So one forward and one backward stand for all heads. This is edge
attribution patching (EAP: Nanda 2023; Syed et al. 2023) at the level of heads. With several `steps` it is
EAP-IG (integrated gradients, Hanna et al. 2024): the gradient is averaged over inputs between the corrupted
and the clean embeddings, so that a saturated softmax at the clean input does not hide a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from circuit_distillation.circuits.block import add_mlp, answer_log_probs, attention_output, rotary
from circuit_distillation.circuits.clean_runs import MEMORY_BUDGET_MB, CleanRun, RecordedRuns
from circuit_distillation.circuits.cost import counted
from circuit_distillation.circuits.gradients import frozen_weights, gradients
from circuit_distillation.circuits.paths import PatchedPath, checked_path
from circuit_distillation.circuits.precision import WorkingLayers, compute_dtype
from circuit_distillation.circuits.prompts import Position, equal_rows
from circuit_distillation.circuits.receiver_suffix import ReceiverSuffix
from circuit_distillation.circuits.receivers import Receivers
from circuit_distillation.circuits.sender_stream import read_inputs
from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import CausalLM, architecture


def attribute_heads(
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
    steps: int = 1,
    runs: Sequence[RecordedRuns] | None = None,
    memory_budget_mb: float = MEMORY_BUDGET_MB,
) -> Tensor:
    """About `score_heads(..., score="log_prob")`, [layer, head, example], at the cost of a few forwards.

    Arguments, shapes and errors are those of `score_heads`. `steps` is the number of inputs over which the
    gradient is averaged: 1, the clean input, is EAP; 5 is EAP-IG. `runs` (of `interpolated_runs`)
    lets several calls share the recorded runs.
    """
    path = checked_path(
        model,
        clean_ids,
        answer_ids,
        (sender_position, corrupt_position, receiver_position),
        attention_mask,
        (receivers, receiver_input, kv_scope),
    )
    if runs is None:
        runs = interpolated_runs(
            model,
            clean_ids,
            corrupt_ids,
            steps,
            attention_mask=attention_mask,
            clean_start=int(path.senders.min()),
            corrupt_start=int(path.corrupted.min()),
            memory_budget_mb=memory_budget_mb,
        )
    for run in runs:
        run.check((clean_ids, path.senders), (corrupt_ids, path.corrupted), path.lengths)
    arch = architecture(model)
    scores = torch.zeros(
        arch.n_layers, arch.n_heads, len(clean_ids), dtype=compute_dtype(model), device=clean_ids.device
    )
    with frozen_weights(model):
        for index, rows in enumerate(runs[0].chunks):
            shifts: list[Tensor] = []
            for run in runs:
                clean, corrupt_z = run.chunk(index)
                if run is runs[0]:
                    shifts = _shifts(
                        clean, corrupt_z, path.senders[rows], path.corrupted[rows] - run.corrupt_start
                    )
                found = _path_gradients(run, clean, rows, path, answer_ids[rows])
                for layer, gradient in enumerate(found):
                    scores[layer, :, rows] += (shifts[layer] * gradient).sum(dim=-1).T / len(runs)
    return scores


def interpolated_runs(
    model: CausalLM,
    clean_ids: Tensor,
    corrupt_ids: Tensor,
    steps: int,
    *,
    attention_mask: Tensor | None = None,
    clean_start: int = 0,
    corrupt_start: int = 0,
    memory_budget_mb: float = MEMORY_BUDGET_MB,
) -> list[RecordedRuns]:
    """The clean run, then those of inputs 1/steps, 2/steps, ... of the way to the corrupted embeddings."""
    if steps < 1:
        raise ValueError(f"steps must be 1 (the clean input alone) or more, not {steps}")
    return [
        RecordedRuns(
            model,
            clean_ids,
            corrupt_ids,
            attention_mask=attention_mask,
            clean_start=clean_start,
            corrupt_start=corrupt_start,
            memory_budget_mb=memory_budget_mb,
            kept_share=0.5 / steps,  # one of the runs works at a time
            blend=step / steps,
        )
        for step in range(steps)
    ]


def _shifts(clean: CleanRun, corrupt_z: list[Tensor], at: Tensor, there: Tensor) -> list[Tensor]:
    """By layer, how far each head's output moves when it is patched, [n, head, d_head]."""
    n = torch.arange(len(at), device=at.device)
    return [z[n, there] - own[n, at - clean.start] for z, own in zip(corrupt_z, clean.z, strict=True)]


def _path_gradients(
    run: RecordedRuns, clean: CleanRun, rows: Tensor, path: PatchedPath, answers: Tensor
) -> list[Tensor]:
    """d log p(answer) / dz of every sender along the path, by layer [n, head, d_head], of examples `rows`.

    Layers at or above the last receiver are left out: their heads cannot reach it.
    """
    arch = architecture(run.model)
    senders, last = path.senders[rows], path.lengths[rows] - 1
    reach = arch.n_layers if path.receivers is None else path.receivers.layers[-1]
    found = [clean.z[0].new_zeros(len(rows), arch.n_heads, arch.d_head) for _ in range(reach)]
    for (start, end), group in equal_rows(senders, last):
        if path.receivers is None and start != end:
            continue  # no head carries a change from there to the last token
        steps = _Differentiated(run.model, clean, start, end, path.receivers)
        for part in group.split(max(1, run.budget // 4 // steps.bytes_per_example)):
            for layer, gradient in enumerate(steps.gradients(part, answers[part], reach)):
                found[layer][part] = gradient
    return found


class _Differentiated:
    """The patched forward of prompts with one sender position `start` and last token `last`, and its
    gradient."""

    def __init__(self, model: CausalLM, clean: CleanRun, start: int, last: int, receivers: Receivers | None):
        self.model, self.clean, self.receivers = model, clean, receivers
        self.layers, self.start, self.at = WorkingLayers(model), start, start - clean.start
        self.suffix = None if receivers is None else ReceiverSuffix(model, clean, start, last, receivers)

    @property
    def bytes_per_example(self) -> int:
        """States that the way back needs."""
        arch = architecture(self.model)
        width = self.layers[0].mlp.gate_proj.out_features
        stream = (4 * width + 8 * arch.d_model) * compute_dtype(self.model).itemsize
        tokens = 1 if self.suffix is None else 2 + self.suffix.last - self.start
        others = 0 if self.suffix is None else self.suffix.bytes_per_stream
        logits = 2 * arch.vocab_size * compute_dtype(self.model).itemsize
        return arch.n_layers * (tokens * stream + others) + logits

    def gradients(self, rows: Tensor, answers: Tensor, reach: int) -> list[Tensor]:
        """By layer below `reach`, [n, head, d_head]; rows are examples of the clean run."""
        with counted() as forward:
            own = [self.clean.z[layer][rows, self.at].requires_grad_() for layer in range(reach)]
            stream, recorded = self._stream(rows, own)
            if self.suffix is None:
                log_probs, _ = answer_log_probs(self.model, stream, answers)
            else:
                first = self.suffix.receivers.layers[0]
                log_probs = self.suffix.log_probs(first, rows, answers, recorded)
        return gradients(log_probs.sum(), own, forward)

    def _stream(self, rows: Tensor, own: Sequence[Tensor]) -> tuple[Tensor, dict[int, Tensor]]:
        """The residual stream at the sender position as a function of its heads' outputs `own`, [n, d], and
        by layer what the receivers read of it, [n, 1, slot, d_head]."""
        stream = self.clean.residual[0][rows, self.at]
        rope = tuple(part[self.start, None] for part in rotary(self.model, self.start + 1))
        recorded: dict[int, Tensor] = {}
        for index in range(len(own) + (self.receivers is not None)):
            layer = self.layers[index]
            if self.receivers is not None and index in self.receivers.heads:
                recorded[index] = read_inputs(layer, stream[None], self.receivers, index, (rope[0], rope[1]))
            if index < len(own):
                stream = add_mlp(layer, stream + attention_output(layer, own[index]))
        return stream, recorded
