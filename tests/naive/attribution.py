"""Attribution patching the obvious way: the gradient of hooked eager forwards in transformers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from circuit_distillation.models.architecture import architecture, decoder_layers
from naive.path_patching import edit_heads, head_outputs, patch_receivers, record_projection, remove


def naive_node_gradients(
    model: nn.Module, embeddings: Tensor, answers: Tensor, lengths: Tensor, blended: tuple[Tensor, float]
) -> tuple[Tensor, Tensor]:
    """(z, d log p / dz), [layer, example, position, head, d_head], with every z moved to its mean by a share;
    blended is (means [layer, position, head, d_head], share)."""
    arch, (means, share) = architecture(model), blended
    seen: list[Tensor] = []

    def hook(index: int):
        def edit(_, inputs):
            z = inputs[0].unflatten(-1, (arch.n_heads, -1))
            z = (1 - share) * z + share * means[index, : z.shape[1]]
            seen.append(z)
            return (z.flatten(-2),)

        return edit

    hooks = [
        layer.self_attn.o_proj.register_forward_pre_hook(hook(index))
        for index, layer in enumerate(decoder_layers(model))
    ]
    mask = (torch.arange(embeddings.shape[1]) < lengths[:, None]).long()
    logits = model(inputs_embeds=embeddings, attention_mask=mask, use_cache=False).logits
    for handle in hooks:
        handle.remove()
    n = torch.arange(len(answers))
    log_probs = logits[n, lengths - 1].log_softmax(-1)[n, answers]
    return torch.stack(seen).detach(), torch.stack(torch.autograd.grad(log_probs.sum(), seen))


def naive_ablation_attributions(
    model: nn.Module, ids: Tensor, answers: Tensor, means: Tensor, lengths: Tensor, steps: int
) -> Tensor:
    """[layer, head, example]."""
    embeddings = model.get_input_embeddings()(ids)
    runs = [
        naive_node_gradients(model, embeddings, answers, lengths, (means, k / steps)) for k in range(steps)
    ]
    shift = means[:, None, : ids.shape[1]] - runs[0][0]
    mean_gradient = sum(gradient for _, gradient in runs) / steps
    return (shift * mean_gradient).sum(dim=(2, 4)).transpose(1, 2)


def naive_path_attributions(
    model: nn.Module,
    clean_ids: Tensor,
    corrupt_ids: Tensor,
    answer_ids: Tensor,
    positions: Tensor,
    corrupt_positions: Tensor,
    lengths: Tensor,
    *,
    receivers: list[tuple[int, int]] | None = None,
    which: str | None = None,
    kv_scope: str = "per_query_head",
    steps: int = 1,
) -> Tensor:
    """[layer, head, example]: the gradient through the two hooked forwards of `naive_scores`, with respect to
    every sender at once; all positions are absolute and [example]."""
    arch, embedding = architecture(model), model.get_input_embeddings()
    mask = (torch.arange(clean_ids.shape[1]) < lengths[:, None]).long()
    n, frozen = torch.arange(len(clean_ids)), torch.arange(clean_ids.shape[1]) >= positions[:, None]
    clean_z, corrupt_z = (head_outputs(model, ids, mask) for ids in (clean_ids, corrupt_ids))
    total = torch.zeros(arch.n_layers, arch.n_heads, len(clean_ids), dtype=torch.float64)
    for step in range(steps):
        inputs = torch.lerp(embedding(clean_ids), embedding(corrupt_ids), step / steps).detach()
        own: list[Tensor] = []
        fixed: list[Tensor] = []

        def log_probs(inputs: Tensor = inputs) -> Tensor:
            logits = model(inputs_embeds=inputs, attention_mask=mask, use_cache=False).logits
            return logits[n, lengths - 1].log_softmax(-1)[n, answer_ids]

        hooks = edit_heads(model, lambda _, z, fixed=fixed: fixed.append(z.detach()) or z)
        log_probs()
        remove(hooks)

        def freeze(index: int, z: Tensor, own: list = own, fixed: list = fixed) -> Tensor:
            z = torch.where(frozen[:, :, None, None], fixed[index], z)
            own.append(z[n, positions].detach().requires_grad_())
            z[n, positions] = own[index]
            return z

        recorded: dict[int, Tensor] = {}
        hooks = edit_heads(model, freeze)
        if which is not None:
            hooks += record_projection(model, which, recorded)
        patched = log_probs()
        remove(hooks)
        if which is not None:
            hooks = patch_receivers(model, receivers, which, kv_scope, positions, recorded)
            patched = log_probs()
            remove(hooks)
        found = torch.autograd.grad(patched.sum(), own, materialize_grads=True)
        for layer, gradient in enumerate(found):
            shift = corrupt_z[layer][n, corrupt_positions] - clean_z[layer][n, positions]
            total[layer] += (shift * gradient).sum(-1).T / steps
    return total.detach()
