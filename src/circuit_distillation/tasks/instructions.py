"""Alpaca-style instructions from our own templates: many kinds, short responses, a closed vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from .corpus import Instruction
from .instruction_words import CATEGORIES, COLORS, NUMBERS, OPPOSITES, ORDINALS, PLURALS
from .words import LETTERS, OBJECTS, signs

_KIND_OF = {word: category for category, words in CATEGORIES.items() for word in words}


class Item(NamedTuple):
    """What fills a wording ({0}, {1}), the input ("" for none) and the response."""

    slots: tuple[str, ...]
    context: str
    response: str


def _words(rng: Random, low: int = 2, high: int = 5) -> list[str]:
    return rng.sample(OBJECTS, rng.randint(low, high))


def _looked_up(table: dict[str, str]) -> Callable[[Random], Item]:
    """A word and its entry in `table`."""
    words = sorted(table)

    def draw(rng: Random) -> Item:
        word = rng.choice(words)
        return Item((word,), "", table[word])

    return draw


def _about_list(respond: Callable[[list[str]], str], low: int = 2) -> Callable[[Random], Item]:
    """A list of words, and what `respond` makes of it."""

    def draw(rng: Random) -> Item:
        words = _words(rng, low)
        return Item((), " ".join(words), respond(words))

    return draw


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"


def _member(rng: Random) -> Item:
    words = _words(rng, 3, 6)
    asked = words[-1] if rng.random() < 0.5 else rng.choice(words[:-1])
    listed = words[:-1]  # half of the time the word asked about was left out
    rng.shuffle(listed)
    return Item((asked,), " ".join(listed), _yes(asked in listed))


def _position(rng: Random) -> Item:
    words = _words(rng, 3)
    at = rng.randrange(len(words))
    return Item((ORDINALS[at],), " ".join(words), words[at])


def _follows(rng: Random) -> Item:
    words = _words(rng, 3)
    at = rng.randrange(len(words) - 1)
    return Item((words[at],), " ".join(words), words[at + 1])


def _remove(rng: Random) -> Item:
    words = _words(rng, 3)
    gone = rng.choice(words)
    return Item((gone,), " ".join(words), " ".join(word for word in words if word != gone))


def _sort(rng: Random) -> Item:
    letters = rng.sample(LETTERS, rng.randint(2, 4))
    return Item((), " ".join(letters), " ".join(sorted(letters)))


def _same(rng: Random) -> Item:
    first, second = rng.sample(OBJECTS, 2)
    second = first if rng.random() < 0.5 else second
    return Item((), f"{first} {second}", _yes(first == second))


def _is_a(rng: Random) -> Item:
    word = rng.choice(sorted(_KIND_OF))
    others = [category for category in CATEGORIES if category != _KIND_OF[word]]
    category = _KIND_OF[word] if rng.random() < 0.5 else rng.choice(others)
    return Item((word, category), "", _yes(_KIND_OF[word] == category))


def _odd_one(rng: Random) -> Item:
    usual, other = rng.sample(sorted(CATEGORIES), 2)
    odd = rng.choice(CATEGORIES[other])
    words = [*rng.sample(CATEGORIES[usual], 3), odd]
    rng.shuffle(words)
    return Item((), " ".join(words), odd)


def _next_letter(rng: Random) -> Item:
    at = rng.randrange(len(LETTERS) - 1)
    return Item((LETTERS[at],), "", LETTERS[at + 1])


def _letter_before(rng: Random) -> Item:
    at = rng.randrange(1, len(LETTERS))
    return Item((LETTERS[at],), "", LETTERS[at - 1])


def _two_numbers(choose: Callable[[int, int], int]) -> Callable[[Random], Item]:
    def draw(rng: Random) -> Item:
        first, second = rng.sample(range(100), 2)
        return Item((str(first), str(second)), "", str(choose(first, second)))

    return draw


def _initial(rng: Random) -> Item:
    word = rng.choice(OBJECTS)
    return Item((word,), "", word[0].upper())


# Kind -> (how to draw an item, wordings).
KINDS: dict[str, tuple[Callable[[Random], Item], tuple[str, ...]]] = {
    "opposite": (
        _looked_up(OPPOSITES),
        ("What is the opposite of {0}?", "Give the opposite of {0}.", "Which word means the reverse of {0}?"),
    ),
    "plural": (
        _looked_up(PLURALS),
        ("What is the plural of {0}?", "Write the plural of {0}.", "What do you call more than one {0}?"),
    ),
    "color": (
        _looked_up(COLORS),
        ("What color does {0} have?", "Name the color of {0}.", "Which color is usual for {0}?"),
    ),
    "category": (
        _looked_up(_KIND_OF),
        ("Which kind of thing is {0}?", "Name the category of {0}.", "To which category does {0} belong?"),
    ),
    "is_a": (
        _is_a,
        ("Is {0} a kind of {1}?", "Does {0} belong to the category {1}?", "Yes or no: is {0} a {1}?"),
    ),
    "odd_one": (
        _odd_one,
        (
            "Which word does not belong?",
            "Find the odd one out.",
            "Name the word that does not fit the others.",
        ),
    ),
    "first_word": (
        _about_list(lambda words: words[0]),
        ("What is the first word?", "Name the word at the start.", "Say the word that the list starts with."),
    ),
    "last_word": (
        _about_list(lambda words: words[-1]),
        ("What is the last word?", "Name the word at the end.", "Say the word that the list ends with."),
    ),
    "position": (
        _position,
        ("Say the {0} word.", "Which word is the {0} one?", "Name the {0} word of the list."),
    ),
    "follows": (
        _follows,
        ("Which word comes after {0}?", "Name the word that follows {0}.", "What stands right after {0}?"),
    ),
    "repeat": (
        _about_list(" ".join),
        ("Repeat the words.", "Copy the list.", "Write the same words again."),
    ),
    "reverse": (
        _about_list(lambda words: " ".join(reversed(words))),
        ("Write the words in reverse order.", "Turn the list around.", "List the words from last to first."),
    ),
    "remove": (_remove, ("Remove {0} from the list.", "Write the list without {0}.", "Leave out {0}.")),
    "member": (
        _member,
        ("Is {0} in the list?", "Does the list contain {0}?", "Do you find {0} among the words?"),
    ),
    "count": (
        _about_list(lambda words: NUMBERS[len(words) - 1], low=1),
        ("How many words are there?", "Count the words.", "Say the number of words in the list."),
    ),
    "sort": (
        _sort,
        (
            "Sort the letters.",
            "Put the letters in the order of the alphabet.",
            "Order these letters from A to Z.",
        ),
    ),
    "same": (_same, ("Are the two words the same?", "Do both words agree?", "Is it the same word twice?")),
    "next_letter": (
        _next_letter,
        (
            "Which letter comes after {0}?",
            "Name the letter that follows {0}.",
            "What is the next letter after {0}?",
        ),
    ),
    "letter_before": (
        _letter_before,
        ("Which letter comes before {0}?", "Name the letter ahead of {0}.", "What letter stands before {0}?"),
    ),
    "larger": (
        _two_numbers(max),
        (
            "Which is larger, {0} or {1}?",
            "Name the larger of {0} and {1}.",
            "Say the greater number: {0} or {1}.",
        ),
    ),
    "smaller": (
        _two_numbers(min),
        (
            "Which is smaller, {0} or {1}?",
            "Name the smaller of {0} and {1}.",
            "Say the lesser number: {0} or {1}.",
        ),
    ),
    "initial": (
        _initial,
        (
            "Which letter does {0} start with?",
            "Name the first letter of {0}.",
            "With which letter does {0} begin?",
        ),
    ),
}


def generate(n: int, seed: int, kinds: tuple[str, ...] = tuple(KINDS)) -> list[Instruction]:
    """`n` instructions, the kinds in turn, each in one of its wordings.

    A prompt is "Instruction: ...\\nInput: ...\\nAnswer:", without the middle line where there is no input;
    the response starts with a space. `content` is the prompt.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise ValueError(f"kinds must name some of {', '.join(KINDS)}, not {list(kinds)}.")
    rng = Random(f"instructions {seed}")
    return [_instruction(kinds[index % len(kinds)], rng) for index in range(n)]


def _instruction(kind: str, rng: Random) -> Instruction:
    draw, wordings = KINDS[kind]
    item = draw(rng)
    lines = [f"Instruction: {rng.choice(wordings).format(*item.slots)}"]
    lines += [f"Input: {item.context}"] if item.context else []
    prompt = "\n".join([*lines, "Answer:"])
    return Instruction(kind, prompt, f" {item.response}", prompt)


def vocabulary() -> list[str]:
    """Every word and sign of prompts and responses; digits one by one."""
    wordings = [wording.format("", "") for _, wordings in KINDS.values() for wording in wordings]
    pairs = [pair for table in (OPPOSITES, PLURALS, COLORS, _KIND_OF) for pair in table.items()]
    fixed = ["Instruction: \n Input: Answer: yes no 0123456789", *NUMBERS, *ORDINALS, *LETTERS, *OBJECTS]
    return signs([*wordings, *(word for pair in pairs for word in pair), *fixed])
