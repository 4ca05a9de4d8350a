"""The same measurements with TransformerLens 4.3 and nnsight 0.8, one forward per head as their users write
them.

Both load the weights from a saved folder. Each function returns log-probabilities of the answer, [head,
example].
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.hooked import answer_log_probs
from benchmarks.setting import Prompts


class TransformerLens:
    name = "TransformerLens"

    def __init__(self, folder: Path):
        from transformer_lens.model_bridge import TransformerBridge

        self.bridge = TransformerBridge.boot_transformers(str(folder))
        self.n_layers, self.n_heads = self.bridge.cfg.n_layers, self.bridge.cfg.n_heads

    @torch.no_grad()
    def sender_to_logits(self, prompts: Prompts) -> Tensor:
        names = [f"blocks.{layer}.attn.hook_z" for layer in range(self.n_layers)]
        keep = {"names_filter": lambda name: name in names}
        _, clean = self.bridge.run_with_cache(prompts.clean, **keep)
        _, corrupt = self.bridge.run_with_cache(prompts.corrupt, **keep)
        rows = []
        for layer in range(self.n_layers):
            for head in range(self.n_heads):

                def freeze(z: Tensor, hook, index: int, layer: int = layer, head: int = head) -> Tensor:
                    z = z.clone()
                    z[:, -1] = clean[names[index]][:, -1]
                    if index == layer:
                        z[:, -1, head] = corrupt[names[index]][:, -1, head]
                    return z

                hooks = [(name, partial(freeze, index=index)) for index, name in enumerate(names)]
                logits = self.bridge.run_with_hooks(prompts.clean, fwd_hooks=hooks)
                rows.append(answer_log_probs(logits, prompts.answers))
        return torch.stack(rows)

    @torch.no_grad()
    def mean_ablation(self, prompts: Prompts, means: Tensor, *, last_only: bool) -> Tensor:
        start = prompts.clean.shape[1] - 1 if last_only else 0
        rows = []
        for layer in range(self.n_layers):
            for head in range(self.n_heads):

                def ablate(z: Tensor, hook, layer: int = layer, head: int = head) -> Tensor:
                    z = z.clone()
                    z[:, start:, head] = means[layer, start:, head]
                    return z

                hooks = [(f"blocks.{layer}.attn.hook_z", ablate)]
                logits = self.bridge.run_with_hooks(prompts.clean, fwd_hooks=hooks)
                rows.append(answer_log_probs(logits, prompts.answers))
        return torch.stack(rows)


class NNsight:
    name = "nnsight"

    def __init__(self, folder: Path):
        from nnsight import LanguageModel

        self.model = LanguageModel(str(folder), device_map="cpu", attn_implementation="eager", dispatch=True)
        config = self.model.config
        self.n_layers, self.n_heads, self.d_head = (
            config.num_hidden_layers,
            config.num_attention_heads,
            config.head_dim,
        )

    @torch.no_grad()
    def sender_to_logits(self, prompts: Prompts) -> Tensor:
        clean, corrupt = self._head_outputs(prompts.clean), self._head_outputs(prompts.corrupt)
        layers = self.model.model.layers
        rows = []
        for layer in range(self.n_layers):
            for head in range(self.n_heads):
                own = slice(head * self.d_head, (head + 1) * self.d_head)
                with self.model.trace(prompts.clean):
                    for index in range(self.n_layers):
                        layers[index].self_attn.o_proj.input[:, -1] = clean[index][:, -1]
                        if index == layer:
                            layers[index].self_attn.o_proj.input[:, -1, own] = corrupt[index][:, -1, own]
                    logits = self.model.lm_head.output.save()
                rows.append(answer_log_probs(logits, prompts.answers))
        return torch.stack(rows)

    @torch.no_grad()
    def mean_ablation(self, prompts: Prompts, means: Tensor, *, last_only: bool) -> Tensor:
        start = prompts.clean.shape[1] - 1 if last_only else 0
        layers = self.model.model.layers
        rows = []
        for layer in range(self.n_layers):
            for head in range(self.n_heads):
                own = slice(head * self.d_head, (head + 1) * self.d_head)
                with self.model.trace(prompts.clean):
                    layers[layer].self_attn.o_proj.input[:, start:, own] = means[layer, start:, head]
                    logits = self.model.lm_head.output.save()
                rows.append(answer_log_probs(logits, prompts.answers))
        return torch.stack(rows)

    def _head_outputs(self, ids: Tensor) -> list[Tensor]:
        layers = self.model.model.layers
        with self.model.trace(ids):
            seen = list().save()
            for index in range(self.n_layers):
                seen.append(layers[index].self_attn.o_proj.input.clone())
        return seen
