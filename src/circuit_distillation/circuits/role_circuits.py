"""Predictions of many circuits whose heads act at a few tokens of each prompt, as pruning measures them.

A head is kept at its role's token alone and is at its mean elsewhere. So every other token carries no trace
of the prompt around it: its residual, and the keys and values that are read of it, are the same in all
circuits, and are computed once for each distinct token and position. A circuit runs the roles' tokens alone.
Circuits that lack heads of one whole circuit go on from its states at the lowest such layer and earliest such
token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from circuit_distillation.circuits.block import (
    KeyValue,
    add_mlp,
    block_bytes,
    embed,
    last_logits,
    normed_input,
    project,
    rotary,
    token_bytes,
)
from circuit_distillation.circuits.circuit_forward import MeanModel
from circuit_distillation.circuits.clean_runs import MEMORY_BUDGET_MB
from circuit_distillation.circuits.cost import add_macs
from circuit_distillation.circuits.progress import Bar
from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import CausalLM

RoleHeads = Mapping[str, Sequence[Head]]


def token_columns(positions: Mapping[str, Tensor], n_tokens: int) -> Tensor | None:
    """Tokens of the roles and the last one, [example, column], rising; the columns are in the order of
    `column_order`.

    None if roles share a token or their order differs between prompts: circuits then have no common form.
    """
    columns = torch.stack([positions[role] for role in column_order(positions)], dim=1)
    last = torch.full_like(columns[:, :1], n_tokens - 1)
    columns = columns if (columns[:, -1:] == last).all() else torch.cat((columns, last), dim=1)
    return columns if (columns.diff(dim=1) > 0).all() else None


def column_order(positions: Mapping[str, Tensor]) -> list[str]:
    """The roles in the order of their tokens in the first prompt."""
    return sorted(positions, key=lambda role: int(positions[role][0]))


@dataclass(frozen=True)
class _Base:
    """States of the whole circuit: by layer the residuals before it, and keys and values of its tokens."""

    residual: list[Tensor]  # [n, column, d]
    own: dict[int, KeyValue]  # [n, column, kv_head, d_head]
    top: Tensor  # [n]


class RoleCircuits:
    """Circuits within a whole one, on prompts [example, position] of one length.

    heads holds the heads of each role, positions the token of each role, [example], and means those of the
    ablated heads. ValueError unless the roles have tokens of their own in one order. Beside the weights and
    the result about `memory_budget_mb` MB are used, or what one prompt needs if that is more.
    """

    @torch.no_grad()
    def __init__(
        self,
        model: CausalLM,
        ids: Tensor,
        heads: RoleHeads,
        means: Tensor,
        positions: Mapping[str, Tensor],
        memory_budget_mb: float = MEMORY_BUDGET_MB,
    ):
        self._ids, self._positions = ids, {role: positions[role] for role in heads}
        if token_columns(self._positions, ids.shape[1]) is None:
            raise ValueError("the roles share a token or change their order: measure each circuit alone")
        self._model, self._heads, self._budget = MeanModel(model, means), heads, memory_budget_mb
        arch = self._model.arch
        n_layers = len({layer for part in heads.values() for layer, _ in part})
        numbers = 2 * n_layers * ids.shape[1] * arch.n_kv_heads * arch.d_head
        size = max(1, int(memory_budget_mb * 2**20) // (2 * max(1, numbers) * means.element_size()))
        self._parts = torch.arange(len(ids), device=ids.device).split(size)
        self._only = self._chunk(self._parts[0]) if len(self._parts) == 1 else None

    @torch.no_grad()
    def top_tokens(self, circuits: Sequence[RoleHeads], progress: Bar | None = None) -> Tensor:
        """Top token of the whole vocabulary after each prompt under each circuit, [circuit, example]."""
        chunks = (self._only or self._chunk(rows) for rows in self._parts)
        return torch.cat([chunk.top_tokens(circuits, self._budget, progress) for chunk in chunks], dim=1)

    def _chunk(self, rows: Tensor) -> _Chunk:
        positions = {role: position[rows] for role, position in self._positions.items()}
        return _Chunk(self._model, self._ids[rows], self._heads, positions)


class _Chunk:
    """Some of the prompts."""

    def __init__(self, mean_model: MeanModel, ids: Tensor, heads: RoleHeads, positions: Mapping[str, Tensor]):
        columns = token_columns(positions, ids.shape[1])
        assert columns is not None, "RoleCircuits has checked the tokens"
        self.mean_model, self.model, self.ids, self.columns = mean_model, mean_model.model, ids, columns
        self._roles = {role: index for index, role in enumerate(column_order(positions))}
        self._slots = sorted(
            {(layer, head, self._roles[role]) for role, part in heads.items() for layer, head in part}
        )
        layers = sorted({layer for layer, _, _ in self._slots})
        self._heads = {
            layer: sorted({head for at, head, _ in self._slots if at == layer}) for layer in layers
        }
        self._last_layer = max(layers, default=-1)
        self._rope = rotary(self.model, ids.shape[1])
        self._seen = self._background()

    def top_tokens(self, circuits: Sequence[RoleHeads], megabytes: float, progress: Bar | None) -> Tensor:
        """Top tokens [circuit, example]."""
        keep = torch.stack([self._kept(circuit) for circuit in circuits])
        whole = keep.any(dim=0)
        base = self._base(whole)
        top = base.top.repeat(len(circuits), 1)
        for (layer, column), members in self._starts(whole, keep).items():
            for part in torch.tensor(members).split(self._batch(column, megabytes)):
                if layer >= 0:
                    top[part] = self._run(base, layer, column, keep[part])
                if progress is not None:
                    progress.advance(len(part) * len(self.ids))
        return top

    def _starts(self, whole: Tensor, keep: Tensor) -> dict[tuple[int, int], list[int]]:
        """Circuits by the lowest layer and the earliest column that lack a head; layer -1: none does."""
        starts: dict[tuple[int, int], list[int]] = {}
        for index, row in enumerate(keep):
            lacking = [self._slots[slot] for slot in (whole & ~row).nonzero()[:, 0].tolist()]
            first = min((layer for layer, _, _ in lacking), default=-1)
            starts.setdefault((first, min((at for _, _, at in lacking), default=0)), []).append(index)
        return starts

    def _kept(self, circuit: RoleHeads) -> Tensor:
        wanted = {(layer, head, self._roles[role]) for role, part in circuit.items() for layer, head in part}
        if unknown := wanted - set(self._slots):
            raise ValueError(f"{sorted(unknown)[0][:2]} is no head of the whole circuit at that role")
        return torch.tensor([slot in wanted for slot in self._slots])

    def _batch(self, column: int, megabytes: float) -> int:
        """Circuits that run together."""
        tokens = len(self.ids) * (self.columns.shape[1] - column)
        size = tokens * token_bytes(self.model, self.ids.shape[1] + self.columns.shape[1])
        return max(1, block_bytes(int(megabytes * 2**20), self.ids.device) // size)

    def _background(self) -> dict[int, KeyValue]:
        """By layer with kept heads, keys and values of tokens at which all heads are at their means, [n, T,
        kv_head, d_head].
        """
        n_tokens = self.ids.shape[1]
        coded = self.ids * n_tokens + torch.arange(n_tokens, device=self.ids.device)
        distinct, where = torch.unique(coded, return_inverse=True)
        places = distinct % n_tokens
        x, rope = embed(self.model, distinct // n_tokens), (self._rope[0][places], self._rope[1][places])
        seen = {}
        for index in range(self._last_layer + 1):
            layer = self.mean_model.layers[index]
            if index in self._heads:
                normed = normed_input(layer, x)
                k, v = (project(layer, normed, which, rope)[where] for which in "kv")
                seen[index] = k, v
            x = add_mlp(layer, x + self.mean_model.constant[index][places])
        return seen

    def _base(self, whole: Tensor) -> _Base:
        """The whole circuit itself."""
        x = embed(self.model, self.ids.gather(1, self.columns))[:, None]
        residual: list[Tensor] = []
        own: dict[int, KeyValue] = {}
        for index in range(len(self.mean_model.layers)):
            residual.append(x[:, 0])
            x = self._layer(index, x, 0, None, whole[None], own)
        return _Base(residual, own, self._top(x)[0])

    def _run(self, base: _Base, first: int, column: int, keep: Tensor) -> Tensor:
        """Top tokens [circuit, n] of circuits that differ from the base from a layer and a column on."""
        x = base.residual[first][:, None, column:].expand(-1, len(keep), -1, -1)
        for index in range(first, len(self.mean_model.layers)):
            if index == self._last_layer + 1:
                x, column = x[:, :, -1:], self.columns.shape[1] - 1
            x = self._layer(index, x, column, base, keep, {})
        return self._top(x)

    def _layer(
        self,
        index: int,
        x: Tensor,
        column: int,
        base: _Base | None,
        keep: Tensor,
        own: dict[int, KeyValue],
    ) -> Tensor:
        """One layer of the tokens from `column` on, x [n, s, t, d]; keep is [s, slot]. Its keys and values go
        into `own` where there is no base yet.
        """
        layer, at = self.mean_model.layers[index], self.columns[:, column:]
        constant = self.mean_model.constant[index][at][:, None]
        if index not in self._heads:
            return add_mlp(layer, x + constant)
        normed = normed_input(layer, x)
        rope = (self._rope[0][at][:, None], self._rope[1][at][:, None])
        q, k, v = (project(layer, normed, which, rope) for which in "qkv")
        if base is None:
            own[index] = k[:, 0], v[:, 0]
        else:
            k, v = (
                torch.cat((earlier[:, None, :column].expand(-1, len(keep), -1, -1, -1), new), dim=2)
                for earlier, new in zip(base.own[index], (k, v), strict=True)
            )
        heads = self._heads[index]
        z = self._attend(index, q[..., heads, :], k, v, at, layer.self_attn.scaling)
        shift = (z - self.mean_model.means[index][at][:, None, :, heads]) * self._where(index, column, keep)
        weight = layer.self_attn.o_proj.weight.unflatten(1, (self.mean_model.arch.n_heads, -1))[:, heads]
        add_macs(shift.numel() * len(weight))
        return add_mlp(layer, x + constant + F.linear(shift.flatten(-2), weight.flatten(1)))

    def _where(self, index: int, column: int, keep: Tensor) -> Tensor:
        """1 where a circuit keeps a head at a token, else 0: [1, s, t, head, 1]."""
        heads = self._heads[index]
        kept = torch.zeros(len(keep), self.columns.shape[1], len(heads), dtype=self.mean_model.means.dtype)
        for slot, (layer, head, at) in enumerate(self._slots):
            if layer == index:
                kept[:, at, heads.index(head)] = keep[:, slot].to(kept.dtype)
        return kept[None, :, column:, :, None].to(self.ids.device)

    def _attend(self, index: int, q: Tensor, k: Tensor, v: Tensor, at: Tensor, scaling: float) -> Tensor:
        """Attention of some heads' queries [n, s, t, head, d_head] to the roles' tokens, k and v [n, s,
        column, kv_head, d_head], and to those in between, which are the same in every circuit.
        """
        groups = [head // self.mean_model.arch.group_size for head in self._heads[index]]
        there_k, there_v = (part[:, :, groups] for part in self._seen[index])
        k, v = k[..., groups, :], v[..., groups, :]
        own = torch.einsum("nsthd,nschd->nsthc", q, k) * scaling
        there = torch.einsum("nsthd,nphd->nsthp", q, there_k) * scaling
        hidden_own = self.columns[:, None] > at[:, :, None]  # [n, t, column]
        places = torch.arange(self.ids.shape[1], device=at.device)
        ours = (places[None, :, None] == self.columns[:, None]).any(dim=2)  # [n, p]
        hidden = (places > at[:, :, None]) | ours[:, None]
        own = own.masked_fill(hidden_own[:, None, :, None], float("-inf"))
        there = there.masked_fill(hidden[:, None, :, None], float("-inf"))
        weights = torch.softmax(torch.cat((there, own), dim=-1), dim=-1, dtype=torch.float32).to(q.dtype)
        add_macs(2 * weights.shape[-1] * q.numel())
        there, own = weights.split([there.shape[-1], own.shape[-1]], dim=-1)
        return torch.einsum("nsthp,nphd->nsthd", there, there_v) + torch.einsum("nsthc,nschd->nsthd", own, v)

    def _top(self, x: Tensor) -> Tensor:
        """Top tokens [s, n] of final residuals of the last token."""
        tops = [logits.argmax(dim=1) for _, logits in last_logits(self.model, x[:, :, -1].flatten(0, 1))]
        return torch.cat(tops).view(x.shape[:2]).T
