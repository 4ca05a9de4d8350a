"""The arithmetic tuning corpus after GOAT (Liu & Low, 2023): its six parts and shares, noise, our wordings.

Parts: addition, subtraction, multiplication by a digit, long multiplication with its steps, division by a
digit, and long division with its steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from random import Random

from .arithmetic_grid import PARTS, Cell
from .arithmetic_steps import answer
from .corpus import Instruction
from .words import signs

_PHRASES = {
    "+": "the sum of",
    "-": "the difference of",
    "*": "the product of",
    "/": "the quotient and remainder of",
}
_WORDS = {"+": ("plus",), "-": ("minus",), "*": ("times", "multiplied by"), "/": ("divided by",)}

_OWN_WORDINGS = (
    "Calculate {}.",
    "Compute {}.",
    "Work out {}.",
    "Please solve {}",
    "Solve this: {}",
    "Find the result of {}.",
    "Find {}.",
    "Evaluate {}",
    "Determine the value of {}.",
    "Tell me {}.",
    "Give the value of {}.",
    "How much is {}?",
    "How much do you get for {}?",
    "What do you get for {}?",
    "What does {} come to?",
    "What is the value of {}?",
    "What is the answer to {}?",
    "Can you calculate {}?",
    "Could you work out {} for me?",
    "Do the math: {}",
    "Show me how to compute {}.",
    "I need the result of {}.",
    "Help me with {}.",
    "The task is {}.",
    "{} is what?",
)
# Nearly a third of the originals is the bare expression or the expression with an equals sign.
WORDINGS: dict[str, int] = {"{}": 100, "{} =": 30, "{}=": 15, "{}=?": 10, "What is {}?": 10} | {
    wording: 13 for wording in _OWN_WORDINGS
}


def generate(
    n: int, seed: int, max_digits: int = 17, kinds: Sequence[str] = tuple(PARTS)
) -> list[Instruction]:
    """`n` questions with worked answers, in the shares of the original over `kinds`.

    Operands have at most `max_digits` digits (17: the whole grid). With 1 there is no long multiplication
    and no long division. A prompt is "{instruction}\\nAnswer:"; the response starts with a space. `content`
    is the expression, so that a hold-out keeps every wording of an expression on one side.
    """
    unknown = [kind for kind in kinds if kind not in PARTS]
    if unknown or max_digits < 1:
        raise ValueError(f"kinds must be of {', '.join(PARTS)} and max_digits at least 1.")
    cells = {kind: [cell for cell in PARTS[kind][2] if cell.digits <= max_digits] for kind in kinds}
    usable = [kind for kind in kinds if cells[kind]]
    if not usable:
        raise ValueError(
            f"{', '.join(kinds) or 'No kind'} needs more than {max_digits} digits: raise max_digits."
        )
    rng, limit = Random(f"arithmetic {seed}"), 10**max_digits
    bounds = {kind: list(accumulate(cell.weight for cell in cells[kind])) for kind in usable}
    shares = list(accumulate(PARTS[kind][1] for kind in usable))
    instructions = []
    for _ in range(n):
        (kind,) = rng.choices(usable, cum_weights=shares)
        instructions.append(_instruction(kind, *_operands(cells[kind], bounds[kind], limit, rng), rng))
    return instructions


def _operands(cells: Sequence[Cell], bounds: Sequence[int], limit: int, rng: Random) -> tuple[int, int]:
    """Operands below `limit`. Larger ones (from added zeros or a product, say) are drawn again."""
    while True:
        (cell,) = rng.choices(cells, cum_weights=bounds)
        a, b = cell.draw(rng)
        if a < limit and b < limit:
            return a, b


def _instruction(kind: str, a: int, b: int, rng: Random) -> Instruction:
    operator = PARTS[kind][0]
    (wording,) = rng.choices(list(WORDINGS), list(WORDINGS.values()))
    question = wording.format(_expression(operator, a, b, rng))
    return Instruction(kind, f"{question}\nAnswer:", f" {answer(kind, a, b)}", f"{a} {operator} {b}")


def _expression(operator: str, a: int, b: int, rng: Random) -> str:
    """The expression with the noise of the original: phrases, "x" for "*", words, spaces left out."""
    if rng.random() < 0.05:
        return f"{_PHRASES[operator]} {a} and {b}"
    sign = "x" if operator == "*" and rng.random() < 0.5 else operator
    if rng.random() < 0.1:
        return f"{a} {rng.choice(_WORDS[operator])} {b}"
    return f"{a}{sign}{b}" if rng.random() < 0.5 else f"{a} {sign} {b}"


def vocabulary() -> list[str]:
    """Every word and sign of prompts and responses; digits one by one."""
    words = [word for choices in _WORDS.values() for word in choices]
    fixed = ["0123456789+-*/x=()R \n Therefore, is undefined and Answer:"]
    return signs([*(wording.format("") for wording in WORDINGS), *_PHRASES.values(), *words, *fixed])
