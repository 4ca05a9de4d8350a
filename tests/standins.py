"""Checkpoints that stand in for the paper's: the same files, small shapes, random weights, a trained BPE."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, PreTrainedTokenizerFast

from circuit_distillation.tasks import arithmetic, get_task

# The pre-tokenizer of Llama-3: contractions, words with the space before, up to three digits, signs, space.
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
UNSEEN = ("guitar", "umbrella", "Rachel")  # words that the tokenizer never saw, so that it splits them
# Layers, query heads, key/value heads, width of a head: the ratios of Llama-3.2-1B, -3B and Llama-3.1-8B.
SHAPES = {"small": (2, 8, 2, 8), "medium": (3, 6, 2, 12), "large": (4, 8, 2, 12)}


def train_bpe(vocab_size: int = 2400, unseen: tuple[str, ...] = UNSEEN) -> PreTrainedTokenizerFast:
    """A byte-level BPE that splits text as Llama-3's does, trained on the texts of both tasks."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[BOS, EOS, "<|reserved_special_token_0|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(unseen), trainer)
    bos = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, bos)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )


def train_open_bpe(vocab_size: int = 1500, *, one_special: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level BPE that puts nothing before a text and cuts digit by digit, as Qwen's.

    one_special: as SmolLM's, where one token is the unknown one, the first and the last.
    """
    end = "<|endoftext|>"
    tokenizer = Tokenizer(models.BPE(unk_token=end if one_special else None))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[end], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_texts(UNSEEN), trainer)
    special = {"unk_token": end, "bos_token": end} if one_special else {"pad_token": end}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=end,
        **special,
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )


def train_sentencepiece(vocab_size: int = 1500) -> PreTrainedTokenizerFast:
    """A BPE of SentencePiece's form, as Mistral-7B and Llama-2 have it: a space is U+2581."""
    special = ["<unk>", "<s>", "</s>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("\n", "isolated"),
            pre_tokenizers.Split("\u2581", "merged_with_next"),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[*special, *bytes_], show_progress=False
    )
    tokenizer.train_from_iterator(_texts(()), trainer)
    tokenizer.pre_tokenizer = None  # no merge that was learned crosses a word
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )


def _texts(unseen: tuple[str, ...]) -> list[str]:
    tasks = [get_task("entity"), get_task("tom")]
    words = [word for task in tasks for word in task.words() if word not in unseen]
    prompts = [
        task.generate(1, 0)[0].prompt
        for task in (get_task("entity", exclude_words=unseen), get_task("tom", exclude_words=unseen))
    ]
    sums = [item.prompt + item.response for item in arithmetic.generate(300, seed=0, max_digits=4)]
    return [*(f" {word}" for word in words for _ in range(20)), " unknown" * 20, *(prompts * 20), *sums]


def write_checkpoint(
    folder: Path,
    role: str,
    tokenizer: PreTrainedTokenizerFast,
    seed: int = 0,
    form: type[PreTrainedConfig] = LlamaConfig,
) -> Path:
    """As the hub has it: bfloat16 safetensors, config, tokenizer; embeddings tied but for `large`."""
    n_layers, n_heads, n_kv, d_head = SHAPES[role]
    config = form(
        vocab_size=len(tokenizer) + 8,
        hidden_size=n_heads * d_head,
        intermediate_size=2 * n_heads * d_head,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        num_key_value_heads=n_kv,
        head_dim=d_head,
        max_position_embeddings=4096,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 1024,
        },
        tie_word_embeddings=role != "large",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_family(folder: Path) -> dict[str, dict[str, Path]]:
    """A base and an instruction-tuned checkpoint a role, by block of parameters; one tokenizer for all."""
    tokenizer = train_bpe()
    return {
        block: {
            role: write_checkpoint(folder / block / role, role, tokenizer, 10 * number + seed)
            for seed, role in enumerate(SHAPES)
        }
        for number, block in enumerate(("models", "instruct"))
    }


def write_alpaca(path: Path, n: int = 200) -> Path:
    """A small `alpaca_data.json`, with and without input, one row without a response."""
    rows = [
        {
            "instruction": f"Say the number {k}.",
            "input": "" if k % 2 else f"The list is {k} {k + 1}",
            "output": f"{k}",
        }
        for k in range(n)
    ]
    path.write_text(json.dumps([*rows, {"instruction": "Say nothing.", "input": "", "output": ""}]))
    return path
