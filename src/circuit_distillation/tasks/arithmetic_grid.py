"""The operands of GOAT (Liu & Low, 2023): six parts, each a grid of digit counts with weights.

Ranges are inclusive at both ends, as in the original, so that an operand of "i digits" can be 10^i.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import NamedTuple

Draw = Callable[[Random], tuple[int, int]]


class Cell(NamedTuple):
    """One cell of a grid: its weight, the digits that its operands need at least, and how to draw them."""

    weight: int
    digits: int
    draw: Draw


def _from(low: int, high: int) -> Callable[[Random], int]:
    return lambda rng: rng.randint(low, high)


def _any(i: int) -> Callable[[Random], int]:
    return _from(10 ** (i - 1), 10**i)


def _no_power(i: int) -> Callable[[Random], int]:
    """`i` digits but not the lowest number of them."""
    return _from(10 ** (i - 1) + 1, 10**i)


def _inside(i: int) -> Callable[[Random], int]:
    return _from(10 ** (i - 1) + 1, 10**i - 1)


def _pair(first: Callable[[Random], int], second: Callable[[Random], int], rng: Random) -> tuple[int, int]:
    return first(rng), second(rng)


def _swapped(draw: Draw, rng: Random) -> tuple[int, int]:
    a, b = draw(rng)
    return (b, a) if rng.random() < 0.5 else (a, b)


def _scaled(draw: Draw, rng: Random) -> tuple[int, int]:
    """One in ten first operands gets one to six zeros."""
    a, b = draw(rng)
    return (a * 10 ** rng.randint(1, 6), b) if rng.random() < 0.1 else (a, b)


def _dividend(draw: Draw, rng: Random) -> tuple[int, int]:
    """(divisor, quotient) to (dividend, divisor); half of them leave a remainder."""
    divisor, quotient = draw(rng)
    exact = divisor < 2 or rng.random() < 0.5
    return divisor * quotient + (0 if exact else rng.randint(1, divisor - 1)), divisor


def _often_exact(draw: Draw, rng: Random) -> tuple[int, int]:
    dividend, divisor = draw(rng)
    if dividend > divisor and rng.random() < 0.5:
        dividend -= dividend % divisor
    return dividend, divisor


def _long_operand(j: int) -> int:
    """Weight of `j` digits beside a single digit: longer ones more often."""
    return next(weight for top, weight in ((4, 4000), (7, 8000), (11, 12000), (16, 16000)) if j <= top)


def _sums() -> Iterator[Cell]:
    for start in (1, 3, 6, 9, 12):
        for i in range(start, 16):
            for j in range(i, 16):
                yield Cell(1, j, partial(_swapped, partial(_pair, _any(i), _any(j))))


def _products_by_digit() -> Iterator[Cell]:
    cells = [(_long_operand(j), j, _from(2, 9), _no_power(j)) for j in range(2, 17)]
    cells += [(500, max(j, len(str(k))), _from(k, k), _inside(j)) for k in (0, 1, 10) for j in range(2, 16)]
    cells.append((500, 1, _from(1, 9), _from(1, 9)))
    for weight, digits, first, second in cells:
        yield Cell(weight, digits, partial(_swapped, partial(_scaled, partial(_pair, first, second))))


def _long_products() -> Iterator[Cell]:
    corners = [(i, j) for start in (2, 4, 5) for i in range(start, 7) for j in range(i, 13 - i)]
    for i, j in [*corners, *((i, i) for i in range(3, 7))]:
        yield Cell(1, j, partial(_pair, _inside(i), _inside(j)))


def _quotients_by_digit() -> Iterator[Cell]:
    cells = [(_long_operand(j), j, _from(2, 9), _no_power(j)) for j in range(1, 17)]
    cells += [(500, j, _from(1, 1), _no_power(j)) for j in range(1, 17)]
    cells += [(500, j + 1, _from(10, 10), _no_power(j)) for j in range(1, 17)]
    cells += [(100, j, _no_power(j), _from(0, 0)) for j in range(1, 17)]
    cells.append((500, 1, _from(1, 10), _from(1, 10)))
    for weight, digits, divisor, quotient in cells:
        yield Cell(weight, digits, partial(_dividend, partial(_pair, divisor, quotient)))
    for j in range(1, 18):  # division by zero
        yield Cell(100, j, partial(_pair, _no_power(j), _from(0, 0)))


def _long_quotients() -> Iterator[Cell]:
    grid = [(10, i, j) for i in range(2, 7) for j in range(i + 1, i + 7)]
    grid += [(1, i, j) for i in range(2, 7) for j in range(2, i + 7)]
    for weight, i, j in grid:
        yield Cell(weight, max(i, j), partial(_often_exact, partial(_pair, _no_power(j), _no_power(i))))


# Part -> (operator, number of examples in the original, cells).
PARTS: dict[str, tuple[str, int, tuple[Cell, ...]]] = {
    "add": ("+", 304_000, tuple(_sums())),
    "sub": ("-", 304_000, tuple(_sums())),
    "mul_digit": ("*", 185_500, tuple(_products_by_digit())),
    "mul_long": ("*", 420_000, tuple(_long_products())),
    "div_digit": ("/", 187_800, tuple(_quotients_by_digit())),
    "div_long": ("/", 345_000, tuple(_long_quotients())),
}
