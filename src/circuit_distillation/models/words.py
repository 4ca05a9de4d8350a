"""Which words are one token after a space? Others cannot be used in a fixed layout."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

log = logging.getLogger(__name__)


def split_words(tokenizer: Any, words: Sequence[str]) -> list[str]:
    """The words that `tokenizer` does not hold as one known token after a space; logged with their count."""
    ids = tokenizer([f" {word}" for word in words], add_special_tokens=False).input_ids
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
