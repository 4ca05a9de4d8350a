"""The model, prompts and timing that every benchmark shares."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

RESULTS = Path(__file__).parent / "results"
N_PROMPTS, N_TOKENS, N_QUERIES, QUERY_TOKENS = 8, 64, 7, 4


@dataclass(frozen=True)
class Prompts:
    clean: Tensor  # [example, position]
    corrupt: Tensor
    answers: Tensor  # [example]


SHAPES = {
    "small": {
        "vocab_size": 1000,
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 32,
        "tie_word_embeddings": False,
    },
    "smollm2": {  # SmolLM2-135M
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "head_dim": 64,
        "tie_word_embeddings": True,
    },
}


def small_model(shape: str = "small") -> PreTrainedModel:
    """A model of one of `SHAPES` with random weights, float32, eager attention."""
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SHAPES[shape], attn_implementation="eager")).eval()


def random_prompts(vocab_size: int, n: int = N_PROMPTS, length: int = N_TOKENS) -> Prompts:
    generator = torch.Generator().manual_seed(1)
    clean, corrupt = (torch.randint(4, vocab_size, (n, length), generator=generator) for _ in range(2))
    return Prompts(clean, corrupt, torch.randint(4, vocab_size, (n,), generator=generator))


def scene_prompts(vocab_size: int) -> Prompts:
    """Eight scenes with seven queries each: prompts of a scene differ in their last four tokens."""
    single = random_prompts(vocab_size)
    shared = [
        ids[:, :-QUERY_TOKENS].repeat_interleave(N_QUERIES, dim=0) for ids in (single.clean, single.corrupt)
    ]
    ends = random_prompts(vocab_size, N_PROMPTS * N_QUERIES, QUERY_TOKENS)
    return Prompts(
        torch.cat((shared[0], ends.clean), dim=1), torch.cat((shared[1], ends.corrupt), dim=1), ends.answers
    )


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of one run: with one thread the wall-clock time that an idle machine would take."""
    start = time.process_time()
    work()
    return time.process_time() - start


def machine() -> str:
    """What the numbers were measured on, in a few words."""
    return f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} thread(s), PyTorch {torch.__version__}"
