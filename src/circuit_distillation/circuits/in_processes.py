"""Path patching and ablation sweeps with the examples shared out over processes; the scores are the same."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from circuit_distillation.circuits.mean_ablation import HeadEffects, head_effects
from circuit_distillation.circuits.path_patching import score_heads
from circuit_distillation.models.processes import ModelOnDisk, run_in_processes

PER_EXAMPLE = ("attention_mask", "candidate_ids", "corrupt_position", "receiver_position")


def score_heads_in_processes(
    model: nn.Module,
    clean_ids: Tensor,
    corrupt_ids: Tensor,
    answer_ids: Tensor,
    sender_position: int | Tensor,
    *,
    n_processes: int,
    **options: Any,
) -> Tensor:
    """`path_patching.score_heads` over `n_processes`: [layer, head, example]. Takes the same options."""
    per_example = (clean_ids, corrupt_ids, answer_ids, sender_position)
    shares = _sweep(score_heads, model, per_example, (), options, n_processes)
    return torch.cat(shares, dim=-1)


def head_effects_in_processes(
    model: nn.Module,
    input_ids: Tensor,
    answer_ids: Tensor,
    means: Tensor,
    *,
    n_processes: int,
    **options: Any,
) -> HeadEffects:
    """`mean_ablation.head_effects` over `n_processes`. Takes the same options."""
    if options.get("positions") is not None:
        options["positions"] = tuple(options["positions"])
    shares = _sweep(head_effects, model, (input_ids, answer_ids), (means,), options, n_processes)
    scores = {name: [getattr(share, name) for share in shares] for name in vars(shares[0])}
    return HeadEffects(
        **{name: None if parts[0] is None else torch.cat(parts, dim=-1) for name, parts in scores.items()}
    )


def _sweep(
    sweep: Callable[..., Any],
    model: nn.Module,
    per_example: tuple[Any, ...],
    shared: tuple[Any, ...],
    options: dict[str, Any],
    n_processes: int,
) -> list[Any]:
    """The sweep's results on each process's share of the examples, in order."""
    n = len(per_example[0])
    if not 1 <= n_processes <= n:
        raise ValueError(f"{n} examples cannot be shared out over {n_processes} processes")
    with tempfile.TemporaryDirectory() as folder:
        stored = ModelOnDisk(model, Path(folder))
        return run_in_processes(
            _share_here, sweep, stored, per_example, shared, options, n_processes=n_processes
        )


def _share_here(
    sweep: Callable[..., Any],
    stored: ModelOnDisk,
    per_example: tuple[Any, ...],
    shared: tuple[Any, ...],
    options: dict[str, Any],
) -> Any:
    """One rank's share; on a GPU of its own where there are some."""
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    n = len(per_example[0])
    own = slice(rank * n // world, (rank + 1) * n // world)
    device = (
        torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        if torch.cuda.is_available()
        else torch.device("cpu")
    )

    def cut(value: Any) -> Any:
        """This rank's examples of a tensor [example, ...]; a position that is the same for all stays."""
        return value[own].to(device) if isinstance(value, Tensor) and value.ndim else value

    options = {name: cut(value) if name in PER_EXAMPLE else value for name, value in options.items()}
    if options.get("positions") is not None:
        options["positions"] = [cut(position) for position in options["positions"]]
    moved = [value.to(device) for value in shared]
    result = sweep(stored.load().to(device), *map(cut, per_example), *moved, **options)
    if isinstance(result, Tensor):
        return result.cpu()
    return type(result)(*(part if part is None else part.cpu() for part in vars(result).values()))
