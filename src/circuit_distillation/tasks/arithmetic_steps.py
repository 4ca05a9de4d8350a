"""Answers of GOAT (Liu & Low, 2023), with the intermediate steps of long multiplication and division."""

from __future__ import annotations


def answer(kind: str, a: int, b: int) -> str:
    """The worked answer to `a` op `b`, the operation being that of the part `kind`."""
    if kind == "add":
        return f"{a} + {b} = {a + b}"
    if kind == "sub":
        return f"{a} - {b} = {a - b}"
    if kind.startswith("mul"):
        return long_product(a, b) if kind == "mul_long" else f"{a} * {b} = {a * b}"
    return long_division(a, b) if kind == "div_long" else division(a, b)


def place_values(number: int) -> list[int]:
    """The non-zero place values, largest first: 305 is [300, 5]."""
    digits = str(number)
    return [int(d) * 10 ** (len(digits) - k) for k, d in enumerate(digits, start=1) if d != "0"]


def long_product(a: int, b: int) -> str:
    """Split the smaller factor into place values, multiply each, add the products up from the left."""
    large, small = max(a, b), min(a, b)
    if len(place_values(a)) < 2 or len(place_values(b)) < 2:
        return f"{a} * {b} = {a * b}"
    terms = place_values(small)
    products = [large * term for term in terms]
    steps = [f"{a} * {b}", f"{large} * ({_sum(terms)})", " + ".join(f"{large} * {term}" for term in terms)]
    while len(products) > 1:
        steps.append(_sum(products))
        products = [products[0] + products[1], *products[2:]]
    return " = ".join([*steps, str(products[0])])


def _sum(terms: list[int]) -> str:
    return " + ".join(map(str, terms))


def division(a: int, b: int) -> str:
    """Quotient, with " R remainder" if there is one."""
    if b == 0:
        return f"{a} / 0 is undefined"
    quotient, remainder = divmod(a, b)
    return f"{a} / {b} = {quotient} R {remainder}" if remainder else f"{a} / {b} = {quotient}"


def long_division(a: int, b: int) -> str:
    """A line for each non-zero digit of the quotient: what is left, less divisor times place value."""
    quotient = a // b
    if quotient == 0 or a == b:
        return division(a, b)
    left, lines = a, []
    for part in place_values(quotient):
        lines.append(f"{left} - {b} * {part} = {left} - {b * part} = {left - b * part}")
        left -= b * part
    return "\n".join([*lines, f"Therefore, {division(a, b)}"])
