"""Clean and corrupted runs of prompts, recorded once and reused by every stage of a search."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from circuit_distillation.circuits.block import KeyValue, embed, token_bytes
from circuit_distillation.circuits.layers import layer_states, states_from
from circuit_distillation.circuits.precision import compute_dtype
from circuit_distillation.circuits.prompts import prompt_lengths
from circuit_distillation.models.architecture import CausalLM, architecture

MEMORY_BUDGET_MB = 1024


@dataclass
class CleanRun:
    """States of some prompts, a list over layers. residual and z start at position `start`; k and v at 0."""

    start: int
    residual: list[Tensor]  # [n, T - start, d]
    z: list[Tensor]  # [n, T - start, head, d_head]
    k: list[Tensor]  # [n, T, kv_head, d_head]
    v: list[Tensor]


class RecordedRuns:
    """Clean runs of prompts, and corrupted ones of prompts aligned with them, in chunks of examples that
    respect a memory budget. Mean ablation needs no corrupted prompts: None.

    Chunks stay in memory as long as all kept ones fit into a share of the budget, one half; the others are
    run again each time they are asked for. The chunk in work with the streams of all its senders fits into a
    quarter; the bound is therefore `memory_budget_mb` MB beside the weights and the results, or what a single
    example needs if that is more. `clean_start` and `corrupt_start` are the first positions whose residuals
    and head outputs are kept. `blend` moves the embeddings of the clean run that share of the way to those of
    the corrupted prompt; no corrupted run is recorded then.
    """

    def __init__(
        self,
        model: CausalLM,
        clean_ids: Tensor,
        corrupt_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        clean_start: int = 0,
        corrupt_start: int = 0,
        memory_budget_mb: float = MEMORY_BUDGET_MB,
        kept_share: float = 0.5,
        blend: float = 0.0,
    ):
        self.lengths = prompt_lengths(model, clean_ids, attention_mask)
        if corrupt_ids is not None:
            if corrupt_ids.shape != clean_ids.shape:
                raise ValueError(
                    f"corrupt_ids {list(corrupt_ids.shape)} must have the shape of clean_ids "
                    f"{list(clean_ids.shape)}"
                )
            prompt_lengths(model, corrupt_ids, attention_mask)
        self.model, self.clean_ids, self.corrupt_ids = model, clean_ids, corrupt_ids
        self.clean_start, self.corrupt_start, self.blend = clean_start, corrupt_start, blend
        self.budget = int(memory_budget_mb * 2**20)
        n_tokens = clean_ids.shape[1]
        working = max(self._stream_bytes(), n_tokens * token_bytes(model, n_tokens))
        per_example = self._cache_bytes() + working
        share = min(1 / 4, kept_share / 2)  # so that two whole chunks can be kept
        size = min(len(clean_ids), max(1, int(self.budget * share // per_example)))
        self.chunks = torch.arange(len(clean_ids), device=clean_ids.device).split(size)
        self._kept: dict[int, tuple[CleanRun, list[Tensor]]] = {}
        self._n_kept = int(self.budget * kept_share // (size * self._cache_bytes()))

    def chunk(self, index: int) -> tuple[CleanRun, list[Tensor]]:
        """The clean run of chunk `index` and, per layer, its corrupted head outputs from corrupt_start on."""
        if index in self._kept:
            return self._kept[index]
        rows = self.chunks[index]
        states = (self._record_clean(rows), self._record_corrupt(rows))
        if len(self._kept) < self._n_kept:
            self._kept[index] = states
        return states

    def check(self, clean: tuple[Tensor, Tensor], corrupt: tuple[Tensor, Tensor], lengths: Tensor) -> None:
        """ValueError unless the runs are of these prompts and keep these positions: (ids, positions) each."""
        _check(self.clean_ids, *clean, self.clean_start, "clean")
        _check(self.corrupt_ids, *corrupt, self.corrupt_start, "corrupt")
        if not torch.equal(self.lengths, lengths):
            raise ValueError("runs were recorded for other prompts: build RecordedRuns with the same mask")

    def _record_clean(self, rows: Tensor) -> CleanRun:
        run = CleanRun(self.clean_start, [], [], [], [])
        x = embed(self.model, self.clean_ids[rows, None])
        if self.blend and self.corrupt_ids is not None:
            x = x.lerp(embed(self.model, self.corrupt_ids[rows, None]), self.blend)
        for state in states_from(self.model, x):
            run.residual.append(_from(state.residual[:, 0], self.clean_start))
            run.z.append(_from(state.z[:, 0], self.clean_start))
            run.k.append(state.k[:, 0])
            run.v.append(state.v[:, 0])
        return run

    def _record_corrupt(self, rows: Tensor) -> list[Tensor]:
        if self.corrupt_ids is None or self.blend:
            return []
        ids = self.corrupt_ids[rows]
        return [_from(state.z[:, 0], self.corrupt_start) for state in layer_states(self.model, ids[:, None])]

    def _cache_bytes(self) -> int:
        """Bytes that the two recorded runs of one example take."""
        arch = architecture(self.model)
        n_tokens = self.clean_ids.shape[1]
        kept = n_tokens - self.clean_start
        kept_corrupt = 0 if self.corrupt_ids is None else n_tokens - self.corrupt_start
        width = arch.n_heads * arch.d_head
        numbers = (
            kept * (width + arch.d_model)
            + kept_corrupt * width
            + 2 * n_tokens * arch.n_kv_heads * arch.d_head
        )
        return arch.n_layers * numbers * compute_dtype(self.model).itemsize

    def _stream_bytes(self) -> int:
        """Bytes that the perturbed streams of all senders of one example take (two copies), and what
        receivers read."""
        arch = architecture(self.model)
        return 3 * (arch.n_total_heads + 1) * arch.d_model * compute_dtype(self.model).itemsize


def _check(mine: Tensor | None, theirs: Tensor, positions: Tensor, start: int, name: str) -> None:
    if mine is None or not torch.equal(mine, theirs):
        raise ValueError(f"runs were recorded for other prompts: build RecordedRuns from the same {name}_ids")
    if positions.min() < start:
        raise ValueError(
            f"runs keep {name} positions from {start} on: build RecordedRuns with a smaller {name}_start"
        )


def prefix(run: CleanRun, layer: int, rows: Tensor, end: int) -> KeyValue | None:
    """Clean keys and values of tokens before `end` of some rows of a run."""
    if end == 0:
        return None
    return run.k[layer][rows, :end], run.v[layer][rows, :end]


def _from(tensor: Tensor, start: int) -> Tensor:
    # A copy, so that the positions before `start` are freed.
    return tensor[:, start:].clone() if start else tensor
