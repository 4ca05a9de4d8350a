"""The mini family: small real ``LlamaForCausalLM`` models with grouped-query attention, and a tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.models.mini_sizes import MINI_SIZES

SPECIAL_TOKENS = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
# A newline, one digit, a run of letters, or one other sign; every other white space only separates.
WORD_PATTERN = r"\n|\d|[^\W\d]+|[^\w\s]"
EMBEDDING_STD = 0.3


def build_tokenizer(words: Iterable[str], model_max_length: int = 512) -> Any:
    """Word-level tokenizer over ``words`` and the digits; the ids do not depend on the order of the words.

    Digits and punctuation are tokens of their own, a leading space makes no difference, case does, and BOS
    comes first by default.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    splitter = pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="removed", invert=True)
    pieces = {piece for word in words for piece, _ in splitter.pre_tokenize_str(word)} | set("0123456789")
    vocabulary = {token: i for i, token in enumerate([*SPECIAL_TOKENS.values(), *sorted(pieces)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL_TOKENS["unk_token"]))
    tokenizer.pre_tokenizer = splitter
    bos = SPECIAL_TOKENS["bos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, vocabulary[bos])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=model_max_length, padding_side="right", **SPECIAL_TOKENS
    )


def build_model(role: str, tokenizer: Any, seed: int) -> CausalLM:
    """A fresh ``LlamaForCausalLM`` of the role's size; the global random state is left as it was."""
    from transformers import LlamaConfig, LlamaForCausalLM

    if role not in MINI_SIZES:
        raise ValueError(f"unknown role {role!r}: choose one of {', '.join(MINI_SIZES)}")
    size = MINI_SIZES[role]
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.d_model,
        intermediate_size=2 * size.d_model,
        num_hidden_layers=size.n_layers,
        num_attention_heads=size.n_heads,
        num_key_value_heads=size.n_kv_heads,
        head_dim=size.d_head,
        max_position_embeddings=tokenizer.model_max_length,
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        initialise(model, size.n_layers)
    return model


@torch.no_grad()
def initialise(model: CausalLM, n_layers: int) -> None:
    """Std 0.3 for embeddings, fan_in^-0.5 for matrices, times (2 layers)^-0.5 for o_proj and down_proj."""
    for name, weight in model.named_parameters():
        if "embed_tokens" in name:
            weight.normal_(0.0, EMBEDDING_STD)
        elif weight.ndim == 2:
            writes = "o_proj" in name or "down_proj" in name
            weight.normal_(0.0, weight.shape[1] ** -0.5 * ((2 * n_layers) ** -0.5 if writes else 1.0))
