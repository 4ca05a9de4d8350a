"""The parts of a Llama-style decoder block as functions, so that a forward can start, stop and be edited
anywhere.

They use the model's own modules and copy the arithmetic of eager attention in transformers (softmax in
float32, then cast). So a run made of them equals the model up to rounding. Layers come from
precision.WorkingLayers.

Shapes: streams x are [n, s, t, d]: n prompts, s streams that share a prompt's earlier tokens, t tokens, width
d.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from circuit_distillation.circuits.cost import add_macs
from circuit_distillation.circuits.precision import compute_dtype, unembedding
from circuit_distillation.models.architecture import CausalLM, DecoderLayer, Mlp, RmsNorm, architecture

KeyValue = tuple[Tensor, Tensor]
# Scratch memory of one unembedding call, and of the streams that run through the layers together: larger
# batches were slower on a CPU, since they leave its caches; a GPU needs them to be busy.
SCRATCH_BYTES = {"cpu": 2**26, "cuda": 2**32}
# The MLP works on as many rows as a core's own cache holds, but on enough to be worth reading its weights.
MLP_BYTES = {"cpu": 2**23, "cuda": 2**30}
MLP_ROWS = 256


def embed(model: CausalLM, ids: Tensor) -> Tensor:
    return model.model.embed_tokens(ids).to(compute_dtype(model))


def rotary(model: CausalLM, n_tokens: int) -> KeyValue:
    """cos and sin of positions 0 .. n_tokens - 1, each [position, 1, d_head]."""
    like = torch.empty(0, dtype=compute_dtype(model), device=model.lm_head.weight.device)
    positions = torch.arange(n_tokens, device=like.device)[None]
    cos, sin = model.model.rotary_emb(like, position_ids=positions)
    return cos[0, :, None], sin[0, :, None]


def rotate(x: Tensor, rope: KeyValue) -> Tensor:
    """Rotary embedding of x, [..., t, heads, d_head], at the positions that `rope` is of."""
    cos, sin = rope
    half = x.shape[-1] // 2
    out = x * cos
    out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-1)
    out[..., half:].addcmul_(x[..., :half], sin[..., half:])
    return out


def project(layer: DecoderLayer, normed: Tensor, which: str, rope: KeyValue) -> Tensor:
    """Queries, keys or values ("q", "k", "v") of a normed stream, [..., t, heads, d_head]; q and k
    rotated."""
    attn = layer.self_attn
    linear = getattr(attn, f"{which}_proj")
    heads = linear(normed).unflatten(-1, (-1, attn.head_dim))
    add_macs(normed.numel() * linear.out_features)
    if which == "v":
        return heads
    norm = getattr(attn, f"{which}_norm", None)
    return rotate(heads if norm is None else norm(heads), rope)


def normed_input(layer: DecoderLayer, x: Tensor) -> Tensor:
    return rms_norm(layer.input_layernorm, x)


def rms_norm(norm: RmsNorm, x: Tensor) -> Tensor:
    """The model's RMS norm bit for bit (in float32, then cast), with fewer large temporaries."""
    wide = x.to(torch.float32)
    out = (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon)).to(x.dtype)
    return out.mul_(norm.weight)


def attend(
    q: Tensor, k: Tensor, v: Tensor, scaling: float, prefix: KeyValue | None, n_padding: int = 0
) -> Tensor:
    """Causal attention of the last tokens of each stream: head outputs z, [n, s, t_q, head, d_head].

    q is [n, s, t_q, head, d_head], the queries of the last t_q of the stream's t tokens; k and v are [n, s,
    t, kv_head, d_head] with any number of kv heads that divides the heads; prefix holds keys and values of
    the earlier tokens, [n, p, kv_head, d_head], shared by the s streams. n_padding hidden keys are appended:
    the float32 softmax then sums rows of the same length as a right-padded forward of the model does, in the
    same order.
    """
    n, s, t_q, heads, d_head = q.shape
    t = k.shape[2]
    q = q * scaling
    own = _scores(q, k)
    if t_q > 1:
        own += _causal_mask(t_q, t, own)
    parts = [own] if prefix is None else [_prefix_scores(q, prefix[0]), own]
    if n_padding:
        parts.append(own.new_full((*own.shape[:-1], n_padding), float("-inf")))
    scores = torch.cat(parts, dim=-1) if len(parts) > 1 else own
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype)
    start = 0 if prefix is None else prefix[0].shape[1]
    z = _mix(weights[..., start : start + t], v)
    add_macs(2 * (start + t) * q.numel())
    return z if prefix is None else z + _prefix_mix(weights[..., :start], prefix[1])


def attention_output(layer: DecoderLayer, z: Tensor) -> Tensor:
    """o_proj of head outputs [..., head, d_head]."""
    linear = layer.self_attn.o_proj
    add_macs(z.numel() * linear.out_features)
    return linear(z.flatten(-2))


def output_by_head(layer: DecoderLayer, z: Tensor, heads: list[int] | None = None) -> Tensor:
    """What each head alone adds to the residual stream: z [..., head, d_head] to [..., head, d], without the
    bias.

    z holds all heads of the layer, or those in `heads`.
    """
    weight = layer.self_attn.o_proj.weight.unflatten(1, (-1, z.shape[-1]))
    weight = weight if heads is None else weight[:, heads]

    add_macs(z.numel() * len(weight))
    return torch.einsum("...hk,dhk->...hd", z, weight)


def scratch_bytes(device: torch.device) -> int:
    return SCRATCH_BYTES.get(device.type, SCRATCH_BYTES["cuda"])


def block_bytes(budget: int, device: torch.device) -> int:
    """Memory for the streams that run through the layers together: a part of the budget, no more than runs
    well."""
    return min(budget // 4, scratch_bytes(device))


def token_bytes(model: CausalLM, keys: int) -> int:
    """Memory of one token of one stream inside a layer: residuals, q, k, v, z, attention to `keys`, with
    copies."""
    arch, size = architecture(model), compute_dtype(model).itemsize
    heads = arch.n_heads * (8 * arch.d_head * size + keys * (4 * size + 4))
    return heads + 4 * arch.d_model * size


def add_mlp(layer: DecoderLayer, x: Tensor) -> Tensor:
    """x + MLP(norm(x)), a bounded number of rows at a time (the MLP works token by token).

    x may be changed in place, unless a gradient goes through it.
    """
    rows = x.reshape(-1, x.shape[-1])
    width = layer.mlp.gate_proj.out_features
    add_macs(3 * rows.numel() * width)
    if x.requires_grad:
        return x + _mlp(layer.mlp, rms_norm(layer.post_attention_layernorm, x))
    for part in rows.chunk(-(-len(rows) // _mlp_rows(3 * width * x.dtype.itemsize, x.device))):
        part += _mlp(layer.mlp, rms_norm(layer.post_attention_layernorm, part))
    return rows.view(x.shape)


def answer_log_probs(model: CausalLM, x: Tensor, answer_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of the answer and the top token, both [...], of final residuals x [..., d].

    answer_ids is broadcast to x without its last dimension.
    """
    answers = answer_ids.expand(x.shape[:-1]).reshape(-1)
    log_prob = torch.empty(answers.shape, dtype=x.dtype, device=x.device)
    top = torch.empty_like(answers)
    for rows, logits in last_logits(model, x.reshape(-1, x.shape[-1])):
        chosen = logits.gather(1, answers[rows, None])[:, 0]
        log_prob[rows] = chosen - logits.logsumexp(dim=1)
        top[rows] = logits.argmax(dim=1)
    return log_prob.view(x.shape[:-1]), top.view(x.shape[:-1])


def last_logits(model: CausalLM, x: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Logits of final residuals [row, d], a bounded number of rows at a time: yields (rows, [row, vocab])."""
    weight = unembedding(model)
    add_macs(len(x) * weight.numel())
    size = max(1, scratch_bytes(x.device) // (3 * len(weight) * x.dtype.itemsize))
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        yield rows, F.linear(rms_norm(model.model.norm, x[rows]), weight, model.lm_head.bias)


def _scores(q: Tensor, k: Tensor) -> Tensor:
    n, s, t_q, heads, d_head = q.shape
    kv_heads, t = k.shape[3], k.shape[2]
    grouped = q.transpose(2, 3).reshape(n, s, kv_heads, -1, d_head)  # [n, s, kv_head, group * t_q, d_head]
    return (grouped @ k.permute(0, 1, 3, 4, 2)).view(n, s, heads, t_q, t)


def _mix(weights: Tensor, v: Tensor) -> Tensor:
    n, s, heads, t_q, t = weights.shape
    grouped = weights.reshape(n, s, v.shape[3], -1, t)
    return (grouped @ v.transpose(2, 3)).view(n, s, heads, t_q, -1).transpose(2, 3)


def _prefix_scores(q: Tensor, k: Tensor) -> Tensor:
    n, s, t_q, heads, d_head = q.shape
    p, kv_heads = k.shape[1:3]
    # [n, kv_head, s * group * t_q, d_head]: one product a prompt and kv head for all the streams that share
    # it
    grouped = (
        q.view(n, s, t_q, kv_heads, -1, d_head).permute(0, 3, 1, 4, 2, 5).reshape(n, kv_heads, -1, d_head)
    )
    scores = (grouped @ k.permute(0, 2, 3, 1)).view(n, kv_heads, s, -1, t_q, p)
    return scores.transpose(1, 2).reshape(n, s, heads, t_q, p)


def _prefix_mix(weights: Tensor, v: Tensor) -> Tensor:
    n, s, heads, t_q, p = weights.shape
    kv_heads = v.shape[2]
    grouped = weights.view(n, s, kv_heads, -1, t_q, p).transpose(1, 2).reshape(n, kv_heads, -1, p)
    z = (grouped @ v.transpose(1, 2)).view(n, kv_heads, s, -1, t_q, v.shape[-1])
    return z.permute(0, 2, 4, 1, 3, 5).reshape(n, s, t_q, heads, -1)


def _mlp_rows(row_bytes: int, device: torch.device) -> int:
    wanted = max(MLP_ROWS, MLP_BYTES.get(device.type, MLP_BYTES["cuda"]) // row_bytes)
    return max(1, min(wanted, scratch_bytes(device) // row_bytes))


def _mlp(mlp: Mlp, x: Tensor) -> Tensor:
    gate = mlp.gate_proj(x)
    hidden = F.silu(gate, inplace=True) if isinstance(mlp.act_fn, nn.SiLU) else mlp.act_fn(gate)
    hidden *= mlp.up_proj(x)
    return mlp.down_proj(hidden)


def _causal_mask(t_q: int, t: int, like: Tensor) -> Tensor:
    """-inf where a key comes after the query, else 0, [t_q, t]: added, which is faster than a masked fill."""
    return like.new_full((t_q, t), float("-inf")).triu(diagonal=t - t_q + 1)
