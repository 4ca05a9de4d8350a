"""Step 1 of path patching: the residual stream that each patched sender changes, with all other heads frozen.

With every attention output from the sender position on frozen, a patched sender changes the residual stream
at its own position only, and reaches later layers through that residual and the MLPs. So one token a sender
is carried, all heads of a layer and all examples in one batch, and no attention is computed (the "path
patching" of Wang et al. 2022 and Prakash et al. 2024: heads frozen, MLPs live).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from circuit_distillation.circuits.block import (
    KeyValue,
    add_mlp,
    attention_output,
    normed_input,
    output_by_head,
    project,
    rotary,
)
from circuit_distillation.circuits.clean_runs import CleanRun
from circuit_distillation.circuits.precision import WorkingLayers
from circuit_distillation.circuits.receivers import Receivers
from circuit_distillation.models.architecture import CausalLM, DecoderLayer


def sender_streams(
    model: CausalLM,
    clean: CleanRun,
    corrupt_z: Sequence[Tensor],
    positions: Tensor,
    corrupt_positions: Tensor,
    receivers: Receivers | None,
) -> tuple[Tensor, dict[int, Tensor]]:
    """Streams, and what the receivers read of them.

    positions and corrupt_positions, [n], index the kept positions of the clean run and of corrupt_z. Without
    receivers: final residuals [1 + layer * head, n, d], row 0 unpatched, sender (l, h) in row 1 + l * heads +
    h. With receivers the streams end at the last of them, and there is for each receiver layer r the
    receivers' new q, k or v at the sender position, rotated, [n, sender, slot, d_head], of the senders in
    layers below r.
    """
    n = torch.arange(len(positions), device=positions.device)
    layers = WorkingLayers(model)
    rope = rotary(model, clean.k[0].shape[1])
    cos, sin = (part[positions + clean.start][:, None] for part in rope)  # [n, 1, 1, d_head]
    streams = clean.residual[0][n, positions][None]  # [1 + senders so far, n, d]
    recorded: dict[int, Tensor] = {}
    last = len(layers) if receivers is None else receivers.layers[-1] + 1
    for index in range(last):
        layer = layers[index]
        if receivers is not None and index in receivers.heads:
            recorded[index] = read_inputs(layer, streams[1:], receivers, index, (cos, sin))
            if index == last - 1:
                break
        z = clean.z[index][n, positions]
        shift = corrupt_z[index][n, corrupt_positions] - z
        attention = attention_output(layer, z)
        senders = (
            clean.residual[index][n, positions] + attention + output_by_head(layer, shift).transpose(0, 1)
        )
        streams = add_mlp(layer, torch.cat((streams + attention, senders)))
    return streams, recorded


def read_inputs(
    layer: DecoderLayer, streams: Tensor, receivers: Receivers, index: int, rope: KeyValue
) -> Tensor:
    """Rotated q, k or v of the receivers at this layer from streams [sender, n, d]: [n, sender, slot,
    d_head]."""
    group_size = layer.self_attn.num_key_value_groups
    taken, _ = receivers.slots(index, group_size)
    heads = project(layer, normed_input(layer, streams.transpose(0, 1)), receivers.which, rope)
    return heads[:, :, taken]
