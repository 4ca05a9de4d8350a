"""Word lists. The words are common, so that most BPE vocabularies have each as one token after a space."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from string import ascii_uppercase

LETTERS: tuple[str, ...] = tuple(ascii_uppercase)

OBJECTS: tuple[str, ...] = tuple(
    """apple arrow ball banana battery bell belt bike blanket book boot brick brush button cable cake
    camera candle card carpet chain chair cheese clock coat coin computer cookie corn crown desk
    doll door drum egg engine fan flag flower fork guitar hammer hat helmet key knife lamp leaf
    lemon letter lock magazine map mask mirror needle newspaper onion orange painting paper pen
    pencil phone photo piano pillow radio ring rock rope sandwich seed shell shield shirt shoe soap
    sock spoon stamp sword ticket towel umbrella""".split()
)

NAMES: tuple[str, ...] = tuple(
    """Adam Alex Alice Amy Andrew Angela Anna Ben Brian Daniel David Diana Edward Emily Emma Eric George
    Grace Helen Henry Jack Jane Jennifer Jessica John Julia Karen Kate Kevin Laura Linda Lisa Lucy
    Maria Martin Mary Michael Nancy Paul Peter Rachel Robert Ryan Sam Sarah Scott Simon Steve Susan
    Tom""".split()
)

CONTAINERS: tuple[str, ...] = tuple(
    """barrel basin bin bottle bowl bucket cooler cup flask glass jar kettle mug pan pitcher pot tank tin tub
    tube vase vessel""".split()
)

DRINKS: tuple[str, ...] = tuple(
    """beer champagne cocktail cocoa coffee cream espresso gin honey juice milk punch rum smoothie soda soup
    syrup tea vodka water whiskey wine""".split()
)

SIGN = re.compile(r"\n|[A-Za-z]+|[^\sA-Za-z]")


def signs(texts: Iterable[str]) -> list[str]:
    """Every word, digit, punctuation mark and newline in `texts`, sorted, for a word-level tokenizer."""
    return sorted({sign for text in texts for sign in SIGN.findall(text)})


def without(words: Sequence[str], excluded: Iterable[str]) -> tuple[str, ...]:
    """`words` in their order, less the excluded ones."""
    dropped = set(excluded)
    return tuple(word for word in words if word not in dropped)
