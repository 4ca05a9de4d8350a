"""Predictions of a circuit alone, with every other head at its mean; many circuits at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuit_distillation.circuits.block import last_logits, token_bytes
from circuit_distillation.circuits.circuit_forward import Circuit, MeanModel
from circuit_distillation.circuits.clean_runs import MEMORY_BUDGET_MB
from circuit_distillation.circuits.mean_ablation import check_means
from circuit_distillation.circuits.precision import compute_dtype
from circuit_distillation.circuits.prefix_sharing import share_beginnings
from circuit_distillation.circuits.progress import Bar
from circuit_distillation.circuits.prompts import Position, prompt_lengths, resolve_position
from circuit_distillation.compute.halving import within_memory
from circuit_distillation.heads import Head
from circuit_distillation.models.architecture import Architecture, CausalLM, architecture

Heads = Sequence[Head] | Mapping[int | str, Sequence[Head]] | Mapping[str, Sequence[Head]]


@dataclass(frozen=True)
class CircuitOutputs:
    """Outputs after the last token of each prompt."""

    predictions: Tensor  # [circuit, example], top token of the whole vocabulary
    candidate_predictions: Tensor | None  # [circuit, example], top token among the example's candidates
    log_prob: Tensor | None  # [circuit, example], log-probability of the answer


def circuit_predictions(
    model: CausalLM,
    input_ids: Tensor,
    heads: Heads,
    means: Tensor,
    *,
    attention_mask: Tensor | None = None,
    positions: Mapping[str, Position] | None = None,
) -> Tensor:
    """Top token of the whole vocabulary after each prompt with only a circuit at work, [example].

    heads is a list of (layer, head) kept at all positions, or {position: list} kept there only; every other
    head, and a kept one elsewhere, is at its mean, [layer, position, head, d_head]. A position is an int or a
    name in `positions`, whose values are ints or [example] tensors. input_ids and attention_mask (right
    padding) are [example, position].
    """
    outputs = circuits_outputs(
        model, input_ids, [heads], means, attention_mask=attention_mask, positions=positions
    )
    return outputs.predictions[0]


@torch.no_grad()
def circuits_outputs(
    model: CausalLM,
    input_ids: Tensor,
    circuits: Tensor | Sequence[Heads],
    means: Tensor,
    *,
    attention_mask: Tensor | None = None,
    answer_ids: Tensor | None = None,
    candidate_ids: Tensor | None = None,
    positions: Mapping[str, Position] | None = None,
    memory_budget_mb: float = MEMORY_BUDGET_MB,
    progress: Bar | None = None,
) -> CircuitOutputs:
    """Outputs of every prompt under each circuit; see `circuit_predictions` for a circuit's forms.

    circuits is a bool tensor [circuit, layer, head] or a list of circuits; candidate_ids is [example,
    candidate] and answer_ids [example]. Prompts that begin alike share the run of their beginning. At most
    `memory_budget_mb` MB are used beside the weights and the result, or what one prompt needs if that is
    more, plus block.SCRATCH_BYTES; where that is too much, half of it. `progress` is advanced.
    """
    lengths = prompt_lengths(model, input_ids, attention_mask)
    check_means(model, means, int(lengths.max()))
    arch = architecture(model)
    if isinstance(circuits, Tensor):
        parsed = [_circuit(mask, None) for mask in _checked_masks(arch, circuits)]
    else:
        parsed = [_parse(arch, heads, input_ids, lengths, positions or {}) for heads in circuits]
    mean_model = MeanModel(model, means)

    def run(megabytes: float) -> CircuitOutputs:
        outputs = _Outputs(model, len(parsed), len(input_ids), answer_ids, candidate_ids)
        budget = int(megabytes * 2**20) // (2 * token_bytes(model, input_ids.shape[1]))
        for batch in share_beginnings(input_ids, lengths, _shareable(parsed, lengths)):
            for part in batch.split(max(1, budget)):
                examples = part.examples.flatten()
                for index, circuit in enumerate(parsed):
                    outputs.add(index, examples, mean_model.final_residuals(part, circuit).flatten(0, 1))
                    if progress is not None:
                        progress.advance(len(examples))
        return outputs.result()

    return within_memory("circuit evaluation", memory_budget_mb, "MB", run)


def head_mask(arch: Architecture, heads: Sequence[Head]) -> Tensor:
    """Bool [layer, head], True for the given heads."""
    mask = torch.zeros(arch.n_layers, arch.n_heads, dtype=torch.bool)
    for layer, head in heads:
        if not (0 <= layer < arch.n_layers and 0 <= head < arch.n_heads):
            raise ValueError(f"head {(layer, head)} is outside {arch.n_layers} layers x {arch.n_heads} heads")
        mask[layer, head] = True
    return mask


def _checked_masks(arch: Architecture, masks: Tensor) -> Tensor:
    if masks.dtype != torch.bool or masks.shape[1:] != (arch.n_layers, arch.n_heads):
        raise ValueError(
            f"circuits must be bool [circuit, layer, head] = [any, {arch.n_layers}, {arch.n_heads}], not "
            f"{masks.dtype} {list(masks.shape)}"
        )
    return masks


def _parse(
    arch: Architecture, heads: Heads, ids: Tensor, lengths: Tensor, positions: Mapping[str, Position]
) -> Circuit:
    if not isinstance(heads, Mapping):
        return _circuit(head_mask(arch, heads), None)
    where = torch.zeros(*ids.shape, arch.n_layers, arch.n_heads, dtype=torch.bool, device=ids.device)
    for name, kept in heads.items():
        if isinstance(name, str) and name not in positions:
            raise ValueError(f"position {name!r} is not in positions: {', '.join(positions) or 'none given'}")
        columns = resolve_position(
            positions[name] if isinstance(name, str) else name, lengths, f"position {name!r}"
        )
        where[torch.arange(len(ids), device=ids.device), columns] |= head_mask(arch, kept).to(ids.device)
    return _circuit(where.any(dim=0).any(dim=0), where)


def _circuit(kept: Tensor, where: Tensor | None) -> Circuit:
    return Circuit([row.nonzero()[:, 0].tolist() for row in kept], where)


def _shareable(circuits: Sequence[Circuit], lengths: Tensor) -> Tensor:
    """Tokens each prompt may share: those before the first position at which a circuit keeps a head there
    only."""
    limits = lengths.clone()
    for circuit in circuits:
        if circuit.where is not None:
            special = circuit.where.flatten(2).any(dim=2)
            first = torch.where(special.any(dim=1), special.int().argmax(dim=1), lengths)
            limits = torch.minimum(limits, first)
    return limits


class _Outputs:
    """Collects predictions, and what was asked beside, of [circuit, example]."""

    def __init__(
        self,
        model: CausalLM,
        n_circuits: int,
        n: int,
        answer_ids: Tensor | None,
        candidate_ids: Tensor | None,
    ):
        device = model.lm_head.weight.device
        shape = (n_circuits, n)
        for name, ids in (("answer_ids", answer_ids), ("candidate_ids", candidate_ids)):
            if ids is not None and len(ids) != n:
                raise ValueError(f"{name} has {len(ids)} rows, there are {n} prompts")
        self.model, self.answer_ids, self.candidate_ids = model, answer_ids, candidate_ids
        self.top = torch.zeros(shape, dtype=torch.long, device=device)
        self.best = None if candidate_ids is None else torch.zeros_like(self.top)
        self.log_prob = None
        if answer_ids is not None:
            self.log_prob = torch.zeros(shape, dtype=compute_dtype(model), device=device)

    def add(self, circuit: int, examples: Tensor, residuals: Tensor) -> None:
        for rows, logits in last_logits(self.model, residuals):
            part = examples[rows]
            self.top[circuit, part] = logits.argmax(dim=1)
            if self.candidate_ids is not None and self.best is not None:
                candidates = self.candidate_ids[part]
                choice = logits.gather(1, candidates).argmax(dim=1, keepdim=True)
                self.best[circuit, part] = candidates.gather(1, choice)[:, 0]
            if self.answer_ids is not None and self.log_prob is not None:
                answer = logits.gather(1, self.answer_ids[part, None])[:, 0]
                self.log_prob[circuit, part] = answer - logits.logsumexp(dim=1)

    def result(self) -> CircuitOutputs:
        return CircuitOutputs(self.top, self.best, self.log_prob)
