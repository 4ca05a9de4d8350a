"""Sizes of a model from its configuration; the paper's are known without their gated files."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from circuit_distillation.models.pruned_size import PrunedSize


@dataclass(frozen=True)
class Shape:
    """Sizes of a Llama-style decoder; `tied`: the embeddings also unembed."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_model: int
    d_mlp: int
    vocab_size: int
    tied: bool

    @property
    def layer_parameters(self) -> int:
        """Weights of one layer, its two norms included."""
        attention = self.d_model * 2 * (self.n_heads + self.n_kv_heads) * self.d_head
        return attention + 3 * self.d_model * self.d_mlp + 2 * self.d_model

    @property
    def parameters(self) -> int:
        """All weights."""
        embeddings = self.vocab_size * self.d_model * (1 if self.tied else 2)
        return self.n_layers * self.layer_parameters + self.d_model + embeddings

    def lora_parameters(self, rank: int, targets: tuple[str, ...]) -> int:
        """Weights of adapters of that rank on the named projections of every layer."""
        query, key = self.n_heads * self.d_head, self.n_kv_heads * self.d_head
        width = {"q_proj": query, "k_proj": key, "v_proj": key, "o_proj": query}
        return self.n_layers * rank * sum(self.d_model + width.get(name, self.d_mlp) for name in targets)

    def head_parameters(self, share: float) -> int:
        """Weights of a share of all heads: q rows, o columns, and their share of k and v rows."""
        width = 2 * self.n_heads + 2 * self.n_kv_heads
        return int(share * self.n_layers * self.d_model * self.d_head * width)


_LLAMA3 = {"d_head": 128, "n_kv_heads": 8, "vocab_size": 128_256}
KNOWN: dict[str, Shape] = {
    "meta-llama/Llama-3.2-1B": Shape(
        n_layers=16, n_heads=32, d_model=2048, d_mlp=8192, tied=True, **_LLAMA3 | {"d_head": 64}
    ),
    "meta-llama/Llama-3.2-3B": Shape(n_layers=28, n_heads=24, d_model=3072, d_mlp=8192, tied=True, **_LLAMA3),
    "meta-llama/Llama-3.1-8B": Shape(
        n_layers=32, n_heads=32, d_model=4096, d_mlp=14_336, tied=False, **_LLAMA3
    ),
}


def pruned_shape(large: Shape, size: PrunedSize) -> Shape:
    """The shape of a model that is pruned to a size."""
    n_layers = size.layers if isinstance(size.layers, int) else len(size.layers or range(large.n_layers))
    n_kv_heads = size.kv_heads or large.n_kv_heads
    d_model = size.hidden_size or large.d_model
    return replace(
        large,
        n_layers=n_layers,
        n_kv_heads=n_kv_heads,
        n_heads=n_kv_heads * large.n_heads // large.n_kv_heads,
        d_model=d_model,
        tied=large.tied and d_model == large.d_model,
    )


def shape_of(config: Path) -> Shape:
    """The shape a config.json tells."""
    values = json.loads(config.read_text(encoding="utf-8"))
    n_heads = values["num_attention_heads"]
    return Shape(
        n_layers=values["num_hidden_layers"],
        n_heads=n_heads,
        n_kv_heads=values.get("num_key_value_heads") or n_heads,
        d_head=values.get("head_dim") or values["hidden_size"] // n_heads,
        d_model=values["hidden_size"],
        d_mlp=values["intermediate_size"],
        vocab_size=values["vocab_size"],
        tied=bool(values.get("tie_word_embeddings", False)),
    )
