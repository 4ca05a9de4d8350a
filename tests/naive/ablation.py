"""Mean ablation the obvious way: one hooked forward of the eager model for every head or circuit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from circuit_distillation.models.architecture import architecture
from circuit_distillation.models.head_outputs import head_outputs, replaced_head_outputs


@torch.no_grad()
def naive_last_logits(
    model: nn.Module, ids: Tensor, lengths: Tensor, edit: Callable[[int, Tensor], Tensor] | None = None
) -> Tensor:
    """Logits after each prompt's last token, [example, vocab], with z of every layer edited."""
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    with replaced_head_outputs(model, edit or (lambda _, z: z)):
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return logits[torch.arange(len(ids)), lengths - 1]


def naive_means(model: nn.Module, ids: Tensor, lengths: Tensor) -> Tensor:
    """[layer, position, head, d_head], each position over the prompts that reach it."""
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    z = head_outputs(model, ids, attention_mask=mask)
    rows = [z[:, lengths > position, position].mean(dim=1) for position in range(ids.shape[1])]
    return torch.stack(rows, dim=1)


def naive_head_logits(
    model: nn.Module, ids: Tensor, means: Tensor, lengths: Tensor, ablated: Tensor
) -> Tensor:
    """Last logits [layer, head, example, vocab] with a head ablated; ablated is bool [example, position]."""
    arch = architecture(model)
    logits = []
    for layer in range(arch.n_layers):
        for head in range(arch.n_heads):

            def ablate(index: int, z: Tensor, layer: int = layer, head: int = head) -> Tensor:
                if index != layer:
                    return z
                z = z.clone()
                z[:, :, head] = torch.where(
                    ablated[..., None], means[layer, : z.shape[1], head], z[:, :, head]
                )
                return z

            logits.append(naive_last_logits(model, ids, lengths, ablate))
    return torch.stack(logits).unflatten(0, (arch.n_layers, arch.n_heads))


def naive_head_effects(
    model: nn.Module, ids: Tensor, answers: Tensor, means: Tensor, lengths: Tensor, ablated: Tensor
) -> tuple[Tensor, Tensor]:
    """(log-probability, top token), each [layer, head, example]; ablated is bool [example, position]."""
    logits = naive_head_logits(model, ids, means, lengths, ablated)
    return logits.log_softmax(-1)[..., torch.arange(len(ids)), answers], logits.argmax(-1)


def naive_logit_diffs(logits: Tensor, answers: Tensor, candidates: Tensor) -> Tensor:
    """The answer's logit minus that of the best other candidate, [..., example], of logits [..., example,
    vocab]."""
    differences = [
        logits[..., row, answer]
        - torch.stack([logits[..., row, other] for other in others if other != answer]).amax(0)
        for row, (answer, others) in enumerate(zip(answers.tolist(), candidates.tolist(), strict=True))
    ]
    return torch.stack(differences, dim=-1)


def naive_circuit_logits(
    model: nn.Module, ids: Tensor, lengths: Tensor, means: Tensor, kept: Tensor
) -> Tensor:
    """Last logits [example, vocab] with every head at its mean but where kept, bool [layer, example,
    position, head]."""

    def keep(index: int, z: Tensor) -> Tensor:
        return torch.where(kept[index][..., None], z, means[index, : z.shape[1]].expand_as(z))

    return naive_last_logits(model, ids, lengths, keep)
