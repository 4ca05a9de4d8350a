"""How a tokenizer cuts what follows a prompt, and which words are then one token."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

log = logging.getLogger(__name__)
BEFORE = "\n"  # words and numbers that come next are tokens of their own


def continuations(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text as it follows another text, without special tokens.

    Cut alone they would differ: tokenizers of SentencePiece's form put a space before a text. Cut alone is
    only a text whose beginning would be part of a token with `BEFORE`, such as one of line ends.
    """
    before = tokenizer(BEFORE, add_special_tokens=False).input_ids
    after = tokenizer([BEFORE + text for text in texts], add_special_tokens=False).input_ids
    alone = tokenizer(list(texts), add_special_tokens=False).input_ids
    return [
        ids[len(before) :] if ids[: len(before)] == before else own
        for ids, own in zip(after, alone, strict=True)
    ]


def check_open_end(tokenizer: Any) -> None:
    """ValueError if the tokenizer puts a token of its own after a text, where an answer has to follow."""
    ids, own = tokenizer("x").input_ids, tokenizer("x", add_special_tokens=False).input_ids
    if own and ids[-1] != own[-1]:
        raise ValueError(
            f"the tokenizer puts {tokenizer.convert_ids_to_tokens(ids[-1])} after every text, so that no "
            "answer can follow a prompt: take it out of post_processor in tokenizer.json, and set "
            "add_eos_token to false in tokenizer_config.json"
        )


def split_words(tokenizer: Any, words: Sequence[str]) -> list[str]:
    """The words that `tokenizer` does not hold as one known token after a prompt and a space; logged with
    their count.
    """
    ids = continuations(tokenizer, [f" {word}" for word in words])
    split = [
        word
        for word, tokens in zip(words, ids, strict=True)
        if len(tokens) != 1 or tokens[0] == tokenizer.unk_token_id
    ]
    if split:
        log.warning(
            "%d of %d words are not one token each and are left out: %s",
            len(split),
            len(words),
            ", ".join(split[:12]) + (" ..." if len(split) > 12 else ""),
        )
    return split
