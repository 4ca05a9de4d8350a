"""Path patching and ablation sweeps in several processes that share the examples; the scores are the same."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from circuit_distillation.circuits.cost import add_macs, counted
from circuit_distillation.circuits.path_patching import score_heads
from circuit_distillation.compute.processes import ModelOnDisk, run_in_processes
from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.models.encoding import Encoded

PER_EXAMPLE = ("attention_mask", "candidate_ids", "corrupt_position", "receiver_position")


def score_heads_in_processes(
    model: CausalLM,
    clean_ids: Tensor,
    corrupt_ids: Tensor,
    answer_ids: Tensor,
    sender_position: int | Tensor,
    *,
    n_processes: int,
    **options: Any,
) -> Tensor:
    """`path_patching.score_heads` over `n_processes`: [layer, head, example].

    Takes the same options but `runs` and `record`, which belong to one process.
    """
    per_example = (clean_ids, corrupt_ids, answer_ids, sender_position)
    shares = sweep_in_processes(score_heads, model, per_example, n_processes=n_processes, **options)
    return torch.cat(shares, dim=-1)


def sweep_in_processes(
    sweep: Callable[..., Any],
    model: CausalLM,
    per_example: tuple[Any, ...],
    shared: tuple[Any, ...] = (),
    *,
    n_processes: int,
    **options: Any,
) -> list[Any]:
    """`sweep(model, *per_example, *shared, **options)` of every process's share of the examples, in order.

    Arguments `per_example` (and the options that `PER_EXAMPLE` names) are tensors [example, ...] or
    `Encoded`; a scalar is the same for all. What the processes compute counts as this one's (`cost.counted`).
    """
    n = len(per_example[0].input_ids if isinstance(per_example[0], Encoded) else per_example[0])
    if not 1 <= n_processes <= n:
        raise ValueError(f"{n} examples cannot be shared out over {n_processes} processes")
    with tempfile.TemporaryDirectory() as folder:
        stored = ModelOnDisk(model, Path(folder))
        # On the CPU: processes get copies, and each moves its share to a device of its own.
        groups = (per_example, shared)
        arguments = [tuple(_mapped(Tensor.cpu, value) for value in values) for values in groups]
        options = {name: _mapped(Tensor.cpu, value) for name, value in options.items()}
        done = run_in_processes(_share_here, sweep, stored, n, *arguments, options, n_processes=n_processes)
    add_macs(sum(macs for _, macs in done))
    return [result for result, _ in done]


def _share_here(
    sweep: Callable[..., Any],
    stored: ModelOnDisk,
    n: int,
    per_example: tuple[Any, ...],
    shared: tuple[Any, ...],
    options: dict[str, Any],
) -> tuple[Any, float]:
    """One rank's share and its MACs; on a GPU of its own where there are some."""
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    own = slice(rank * n // world, (rank + 1) * n // world)
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if on_gpu else torch.device("cpu")

    def cut(value: Any) -> Any:
        """This rank's examples; a position that is the same for all stays."""
        return _mapped(lambda tensor: tensor[own].to(device) if tensor.ndim else tensor, value)

    options = {name: cut(value) if name in PER_EXAMPLE else value for name, value in options.items()}
    moved = [_mapped(lambda tensor: tensor.to(device), value) for value in shared]
    with counted() as cost:
        result = sweep(stored.load().to(device), *map(cut, per_example), *moved, **options)
    return _mapped(lambda tensor: tensor.cpu(), result), cost.macs


def _mapped(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """`value` with every tensor changed: a tensor, a map of tensors, or a dataclass of such."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {name: _mapped(change, part) for name, part in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        return type(value)(**_mapped(change, vars(value)))
    return value
