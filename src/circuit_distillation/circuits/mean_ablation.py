"""Mean ablation of every head, one at a time, exactly and in large batches (paper equations 3 to 5 need its
effects).

The forward with head (l, h) ablated equals the clean one up to the attention of layer l, so it resumes there:
the residual after that attention changes by W_O of the head times (mean - z). Beginnings that prompts share
are run once per ablated head; ablation at some positions only runs the tokens from the first of them on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuit_distillation.circuits.ablation_sweep import AblationSweep, ShareSweep, SuffixSweep
from circuit_distillation.circuits.block import last_logits
from circuit_distillation.circuits.clean_runs import MEMORY_BUDGET_MB, RecordedRuns
from circuit_distillation.circuits.layers import layer_states
from circuit_distillation.circuits.precision import compute_dtype
from circuit_distillation.circuits.prefix_sharing import share_beginnings
from circuit_distillation.circuits.progress import Bar
from circuit_distillation.circuits.prompts import (
    Position,
    check_answers,
    equal_rows,
    prompt_lengths,
    resolve_position,
)
from circuit_distillation.compute.halving import within_memory
from circuit_distillation.models.architecture import CausalLM, architecture


@dataclass(frozen=True)
class HeadEffects:
    """What ablating each head does to each example."""

    log_prob: Tensor  # [layer, head, example], log-probability of the answer with this head ablated
    correct: Tensor  # [layer, head, example], bool: the answer is the top token of the whole vocabulary
    base_log_prob: Tensor  # [example], without ablation
    base_correct: Tensor  # [example]
    # Given candidates, the answer's logit minus that of the best other candidate; else None.
    logit_diff: Tensor | None = None  # [layer, head, example]
    base_logit_diff: Tensor | None = None  # [example]


@torch.no_grad()
def head_means(
    model: CausalLM,
    input_ids: Tensor,
    *,
    attention_mask: Tensor | None = None,
    batch_size: int = 64,
) -> Tensor:
    """Mean of z at each position over the prompts that reach it, [layer, position, head, d_head].

    input_ids and attention_mask (right padding) are [example, position].
    """
    lengths = prompt_lengths(model, input_ids, attention_mask)
    if int(lengths.max()) < input_ids.shape[1]:
        raise ValueError(
            f"no prompt reaches position {int(lengths.max())}: trim the padding to the longest prompt"
        )
    arch, n_tokens = architecture(model), input_ids.shape[1]
    real = torch.arange(n_tokens, device=input_ids.device) < lengths[:, None]
    shape = (arch.n_layers, n_tokens, arch.n_heads, arch.d_head)

    def sums(size: float) -> Tensor:
        totals = torch.zeros(shape, dtype=torch.float64, device=input_ids.device)
        for ids, mask in zip(input_ids.split(int(size)), real.split(int(size)), strict=True):
            for index, state in enumerate(layer_states(model, ids[:, None])):
                z = state.z[:, 0].double().masked_fill(~mask[:, :, None, None], 0.0)
                totals[index] += z.sum(dim=0)
        return totals

    totals = within_memory("the means of heads", batch_size, "prompts", sums)
    return (totals / real.sum(dim=0)[:, None, None]).to(compute_dtype(model))


@torch.no_grad()
def head_effects(
    model: CausalLM,
    input_ids: Tensor,
    answer_ids: Tensor,
    means: Tensor,
    *,
    attention_mask: Tensor | None = None,
    positions: Sequence[Position] | None = None,
    candidate_ids: Tensor | None = None,
    memory_budget_mb: float = MEMORY_BUDGET_MB,
    progress: Bar | None = None,
) -> HeadEffects:
    """Replaces z of each head in turn by its mean and scores the answer after the last token.

    input_ids and attention_mask (right padding) are [example, position], answer_ids [example], means [layer,
    position, head, d_head] of `head_means`. positions None ablates at every position; a list of ints or
    [example] tensors ablates at those positions at once. candidate_ids, [example, candidate], asks for logit
    differences too. Beside the weights and the result at most `memory_budget_mb` MB are used, or what one
    head of one prompt needs if that is more, plus block.SCRATCH_BYTES; where that is too much, half of it.
    `progress` is advanced.
    """
    lengths = prompt_lengths(model, input_ids, attention_mask)
    check_answers(answer_ids, input_ids, architecture(model).vocab_size)
    check_means(model, means, int(lengths.max()))
    ablated = None if positions is None else _ablated(input_ids, lengths, positions)

    def run(megabytes: float) -> HeadEffects:
        scores = _Scores(model, answer_ids, candidate_ids)
        if ablated is None:
            sweeps = _everywhere(model, input_ids, lengths, means, int(megabytes * 2**20))
        else:
            starts = ablated.int().argmax(dim=1)
            first = int(starts.min())
            runs = RecordedRuns(
                model, input_ids, attention_mask=attention_mask, clean_start=first, memory_budget_mb=megabytes
            )
            sweeps = _at_positions(runs, means, ablated, starts)
        for sweep in sweeps:
            for heads, residuals in sweep.run():
                scores.add(heads, sweep.examples, residuals)
                if progress is not None and heads.start < architecture(model).n_total_heads:
                    progress.advance((heads.stop - heads.start) * len(sweep.examples))
        return scores.effects()

    return within_memory("mean ablation", memory_budget_mb, "MB", run)


def check_means(model: CausalLM, means: Tensor, n_tokens: int) -> None:
    arch = architecture(model)
    expected = (arch.n_layers, arch.n_heads, arch.d_head)
    if means.ndim != 4 or (means.shape[0], *means.shape[2:]) != expected:
        raise ValueError(
            f"means must be [layer, position, head, d_head] = [{arch.n_layers}, {n_tokens} or more, "
            f"{arch.n_heads}, {arch.d_head}], not {list(means.shape)}"
        )
    if means.shape[1] < n_tokens:
        raise ValueError(f"means cover {means.shape[1]} positions, the prompts have up to {n_tokens} tokens")


def _everywhere(
    model: CausalLM, ids: Tensor, lengths: Tensor, means: Tensor, budget: int
) -> Iterator[AblationSweep]:
    """One sweep per batch of prompts of equal length that share beginnings."""
    for batch in share_beginnings(ids, lengths):
        for part in batch.split(max(1, budget // 8 // AblationSweep.clean_bytes(model))):
            yield ShareSweep(model, part, means, budget)


def _at_positions(
    runs: RecordedRuns, means: Tensor, ablated: Tensor, starts: Tensor
) -> Iterator[AblationSweep]:
    """One sweep per prompts of one chunk with equal length and first ablated position, [example]."""
    for index, examples in enumerate(runs.chunks):
        clean, _ = runs.chunk(index)
        for (start, stop), rows in equal_rows(starts[examples], runs.lengths[examples]):
            here, span = ablated[examples[rows], start:stop], (start, stop)
            yield SuffixSweep(runs.model, clean, rows, examples[rows], span, here, means, runs.budget)


def _ablated(ids: Tensor, lengths: Tensor, positions: Sequence[Position]) -> Tensor:
    """Bool [example, position], True where heads are ablated."""
    if len(positions) == 0:
        raise ValueError("positions is empty: give positions, or None to ablate everywhere")
    ablated = torch.zeros(ids.shape, dtype=torch.bool, device=ids.device)
    for position in positions:
        ablated.scatter_(1, resolve_position(position, lengths, "positions")[:, None], True)
    return ablated


class _Scores:
    """Collects [head, example] scores; the head after the last stands for no ablation."""

    def __init__(self, model: CausalLM, answer_ids: Tensor, candidate_ids: Tensor | None):
        self.model, self.answer_ids, self.candidate_ids = model, answer_ids, candidate_ids
        shape, device = (architecture(model).n_total_heads + 1, len(answer_ids)), answer_ids.device
        self.log_prob = torch.zeros(shape, dtype=compute_dtype(model), device=device)
        self.correct = torch.zeros(shape, dtype=torch.bool, device=device)
        self.logit_diff = None
        if candidate_ids is not None:
            _check_candidates(candidate_ids, answer_ids, architecture(model).vocab_size)
            self.logit_diff = torch.zeros_like(self.log_prob)

    def add(self, heads: slice, examples: Tensor, residuals: Tensor) -> None:
        """Enters the scores of final residuals [head, row, d] of `examples`, [row]."""
        index = torch.arange(heads.start, heads.stop, device=examples.device)
        index, examples = index.repeat_interleave(len(examples)), examples.repeat(len(index))
        for rows, logits in last_logits(self.model, residuals.flatten(0, 1)):
            at, answers = (index[rows], examples[rows]), self.answer_ids[examples[rows], None]
            answer = logits.gather(1, answers)
            self.log_prob[at] = answer[:, 0] - logits.logsumexp(dim=1)
            self.correct[at] = logits.argmax(dim=1) == answers[:, 0]
            if self.candidate_ids is not None and self.logit_diff is not None:
                candidates = self.candidate_ids[examples[rows]]
                others = logits.gather(1, candidates).masked_fill(candidates == answers, -torch.inf)
                self.logit_diff[at] = answer[:, 0] - others.amax(dim=1)

    def effects(self) -> HeadEffects:
        arch = architecture(self.model)

        def apart(scores: Tensor) -> tuple[Tensor, Tensor]:
            return scores[:-1].view(arch.n_layers, arch.n_heads, -1), scores[-1]

        (log_prob, base_log_prob), (correct, base_correct) = apart(self.log_prob), apart(self.correct)
        differences = (None, None) if self.logit_diff is None else apart(self.logit_diff)
        return HeadEffects(log_prob, correct, base_log_prob, base_correct, *differences)


def _check_candidates(candidate_ids: Tensor, answer_ids: Tensor, vocab_size: int) -> None:
    if candidate_ids.ndim != 2 or len(candidate_ids) != len(answer_ids):
        raise ValueError(
            f"candidate_ids must be [example, candidate] for {len(answer_ids)} examples, not "
            f"{list(candidate_ids.shape)}"
        )
    if candidate_ids.numel() and (candidate_ids.max() >= vocab_size or candidate_ids.min() < 0):
        raise ValueError(f"candidate_ids must lie in 0 .. {vocab_size - 1}")
    if not (candidate_ids != answer_ids[:, None]).any(dim=1).all():
        raise ValueError("a logit difference needs a candidate other than the answer in every example")
