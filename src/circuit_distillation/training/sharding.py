"""Spread weights, gradients and optimiser state over processes with PyTorch's FSDP2, on GPUs or CPUs.

A sharded parameter is a DTensor. `whole` and `assign` are collective: every process must call them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from circuit_distillation.models.architecture import CausalLM, decoder_layers


def shard(forward: nn.Module, model: CausalLM, device: torch.device, kept: set[int]) -> None:
    """Spread `forward`, which holds `model`, over all processes; decoder layers are gathered one by one.

    FSDP gathers a layer for the backward when a gradient reaches the layer's output. The activations of a
    head leave a layer by the side, so the layers `kept` stay gathered from the forward to their backward.
    """
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for index, layer in enumerate(decoder_layers(model)):
        fully_shard(layer, mesh=mesh, reshard_after_forward=index not in kept)
    fully_shard(forward, mesh=mesh)


def reshard(forward: nn.Module) -> None:
    """Drop the gathered copies of the last forward, so that only the shards hold weights."""
    for module in forward.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def whole(tensor: Tensor) -> Tensor:
    """The full values of a tensor, sharded or not."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def assign(target: Tensor, values: Tensor) -> None:
    """Set a tensor, sharded or not, to full values."""
    target.copy_(like(target, values))


def like(target: Tensor, values: Tensor) -> Tensor:
    """Full values, spread and placed as `target` is."""
    values = values.to(target.device)
    return (
        distribute_tensor(values, target.device_mesh, target.placements)
        if isinstance(target, DTensor)
        else values
    )


def whole_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """A model's state dict with full tensors on the CPU."""
    return {name: whole(tensor).cpu() for name, tensor in model.state_dict().items()}
