"""Work of every kind of stage in floating-point operations (two for each multiply-accumulate), by formulas.

t new tokens that see k tokens cost a layer t (2dHh + 2dGh + 3df) + 2tkHh multiply-accumulates; only one token
of a prompt is unembedded. The sums over layers are those of the circuit engine's own sweeps.
"""

from __future__ import annotations

from circuit_distillation.planning.shapes import Shape


def _block(shape: Shape, new: float, seen: float) -> float:
    attention = 2 * shape.d_model * (shape.n_heads + shape.n_kv_heads) * shape.d_head
    per_token = attention + 3 * shape.d_model * shape.d_mlp + 2 * seen * shape.n_heads * shape.d_head
    return new * per_token


def forward_flops(shape: Shape, n_tokens: float, unembedded: float = 1) -> float:
    """One prompt, `unembedded` of its tokens unembedded."""
    blocks = shape.n_layers * _block(shape, n_tokens, n_tokens)
    return 2 * (blocks + unembedded * shape.d_model * shape.vocab_size)


def ablation_flops(shape: Shape, n_tokens: int) -> float:
    """Every head of one prompt replaced by its mean in turn, at all positions, resumed where it acts: the MLP
    of its layer, every later layer, of the last layer the last token.
    """
    n_layers, mlp = shape.n_layers, 3 * shape.d_model * shape.d_mlp
    later = (n_layers - 1) * (n_layers - 2) // 2 * _block(shape, n_tokens, n_tokens)
    last = (n_layers - 1) * _block(shape, 1, n_tokens)
    own = n_layers * (n_tokens * mlp + shape.d_model * shape.vocab_size)
    return 2 * shape.n_heads * (own + later + last)


def patching_flops(shape: Shape, n_tokens: int, receiver: str, suffix: float = 1) -> float:
    """One prompt, one stage of path patching over all senders.

    receiver: "logits", "q" or "kv". Receivers are taken to begin in the middle of the model and to end at
    the last layer ("q") or at three quarters ("kv"). suffix: tokens from the receivers to the prompt's end.
    """
    mlp, un = 3 * shape.d_model * shape.d_mlp, shape.d_model * shape.vocab_size
    n_heads, n_layers = shape.n_heads, shape.n_layers
    if receiver == "logits":
        stream = sum((n_layers - layer) * mlp for layer in range(n_layers))
        return 2 * n_heads * (stream + n_layers * un)
    last = n_layers - 1 if receiver == "q" else 3 * n_layers // 4
    stream = sum((last - layer) * mlp for layer in range(last))
    decode = last * ((n_layers - n_layers // 2) * _block(shape, suffix, n_tokens) + un)
    return 2 * n_heads * (stream + decode)


def training_flops(shape: Shape, n_tokens: float, *, trains_all: bool, recomputes: bool) -> float:
    """Forward and backward over n_tokens: 6 operations a weight and token, 4 where few weights train.

    recomputes: gradient checkpointing, one more forward.
    """
    passes = (3 if trains_all else 2) + (1 if recomputes else 0)
    return 2 * passes * shape.parameters * n_tokens
