"""Every expression of the arithmetic corpus, checked by arithmetic of the test's own."""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuit_distillation.tasks import arithmetic
from circuit_distillation.tasks.arithmetic_grid import PARTS
from circuit_distillation.tasks.arithmetic_steps import answer, place_values
from circuit_distillation.tasks.corpus import hold_out, is_held_out

QUESTION = re.compile(r"(\d+) ?(\+|-|\*|x|/|and|plus|minus|times|multiplied by|divided by) ?(\d+)")
SIGNS = {"plus": "+", "minus": "-", "times": "*", "multiplied by": "*", "x": "*", "divided by": "/"}
PHRASES = {"sum": "+", "difference": "-", "product": "*", "quotient": "/"}


def value(text):
    """The value of sums, differences and products of integers; nothing else is let through."""
    assert re.fullmatch(r"[\d +\-*()]+", text)
    return eval(text)  # noqa: S307


def asked(instruction):
    """(a, operator, b), read from the wording of the question."""
    question = instruction.prompt.removesuffix("\nAnswer:")
    ((a, word, b),) = QUESTION.findall(question)
    if word == "and":
        (word,) = [sign for phrase, sign in PHRASES.items() if phrase in question]
    return int(a), SIGNS.get(word, word), int(b)


def check_division(response, a, b):
    *steps, last = response.split("\n")
    left = a
    for step in steps:
        shown, rest = step.split(" - ", 1)
        assert int(shown) == left and rest.startswith(f"{b} * ")
        values = {value(side) for side in step.split(" = ")}
        assert len(values) == 1
        left = values.pop()
    if b == 0:
        assert last == f"{a} / 0 is undefined"
        return
    match = re.fullmatch(r"(Therefore, )?(\d+) / (\d+) = (\d+)(?: R (\d+))?", last)
    assert bool(match[1]) == bool(steps) and (int(match[2]), int(match[3])) == (a, b)
    quotient, remainder = int(match[4]), int(match[5] or 0)
    assert quotient + Fraction(remainder, b) == Fraction(a, b) and remainder < b
    assert match[5] is None or remainder > 0
    assert not steps or left == remainder


def check(instruction):
    a, operator, b = asked(instruction)
    response = instruction.response.removeprefix(" ")
    assert instruction.response == f" {response}" and instruction.content == f"{a} {operator} {b}"
    if operator == "/":
        return check_division(response, a, b)
    first, *sides = response.split(" = ")
    assert first == f"{a} {operator} {b}" and sides
    right = {"+": a + b, "-": a - b, "*": a * b}[operator]
    assert all(value(side) == right for side in sides)
    assert sides[-1] == str(right)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**40), max_digits=st.sampled_from([1, 2, 3, 6, 17]))
def test_every_answer_and_every_step_is_right(seed, max_digits):
    for instruction in arithmetic.generate(60, seed, max_digits=max_digits):
        check(instruction)
        a, _, b = asked(instruction)
        assert max(len(str(a)), len(str(b))) <= max_digits


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(sorted(PARTS)), a=st.integers(0, 10**17), b=st.integers(0, 10**8))
def test_worked_answers_hold_for_any_operands(kind, a, b):
    sign = PARTS[kind][0]
    (instruction,) = arithmetic.generate(1, 0, kinds=[kind])
    prompt = f"{a} {sign} {b}\nAnswer:"
    if kind != "div_long" or b:
        check(type(instruction)(kind, prompt, f" {answer(kind, a, b)}", f"{a} {sign} {b}"))


@pytest.mark.parametrize(
    ("kind", "a", "b", "text"),
    [
        ("add", 7, 5, "7 + 5 = 12"),
        ("sub", 5, 7, "5 - 7 = -2"),
        ("mul_digit", 4, 23, "4 * 23 = 92"),
        ("mul_long", 23, 45, "23 * 45 = 45 * (20 + 3) = 45 * 20 + 45 * 3 = 900 + 135 = 1035"),
        ("mul_long", 300, 45, "300 * 45 = 13500"),
        ("div_digit", 17, 5, "17 / 5 = 3 R 2"),
        ("div_digit", 15, 5, "15 / 5 = 3"),
        ("div_digit", 9, 0, "9 / 0 is undefined"),
        ("div_long", 12, 40, "12 / 40 = 0 R 12"),
        ("div_long", 40, 40, "40 / 40 = 1"),
        (
            "div_long",
            1234,
            11,
            "1234 - 11 * 100 = 1234 - 1100 = 134\n134 - 11 * 10 = 134 - 110 = 24\n"
            "24 - 11 * 2 = 24 - 22 = 2\nTherefore, 1234 / 11 = 112 R 2",
        ),
    ],
)
def test_the_form_of_the_answers(kind, a, b, text):
    assert answer(kind, a, b) == text


def test_three_products_are_added_from_the_left():
    assert answer("mul_long", 1111, 222).endswith(" = 222200 + 22220 + 2222 = 244420 + 2222 = 246642")


@given(st.integers(1, 10**20))
def test_place_values_add_up(number):
    parts = place_values(number)
    assert sum(parts) == number and parts == sorted(parts, reverse=True)
    assert all(str(part).rstrip("0") in set("123456789") for part in parts)


def test_the_parts_have_their_shares():
    """Sizes of the grids as published, for 1000 (or 10,000) examples a cell."""
    weights = {kind: sum(cell.weight for cell in cells) for kind, (_, _, cells) in PARTS.items()}
    assert weights["add"] == weights["sub"] == 304 and weights["mul_long"] == 42
    assert weights["mul_digit"] == 185_500 and weights["div_digit"] == 187_800 and weights["div_long"] == 345
    counts = Counter(instruction.kind for instruction in arithmetic.generate(20_000, 0))
    total = sum(share for _, share, _ in PARTS.values())
    for kind, (_, share, _) in PARTS.items():
        assert abs(counts[kind] / 20_000 - share / total) < 0.015


def test_kinds_that_need_more_digits_are_left_out():
    counts = Counter(instruction.kind for instruction in arithmetic.generate(2000, 0, max_digits=1))
    assert set(counts) == {"add", "sub", "mul_digit", "div_digit"}
    assert set(Counter(i.kind for i in arithmetic.generate(2000, 0, max_digits=2))) == set(PARTS)
    assert {i.kind for i in arithmetic.generate(50, 0, max_digits=2, kinds=["sub"])} == {"sub"}


def test_every_case_of_the_original_occurs():
    texts = [instruction.response for instruction in arithmetic.generate(4000, 1, max_digits=4)]
    for pattern in (r"= -\d", r"is undefined", r" R ", r"Therefore", r" = \d+ \* \(", r"= 0 R \d+$"):
        assert any(re.search(pattern, text) for text in texts), pattern
    prompts = [instruction.prompt for instruction in arithmetic.generate(4000, 1, max_digits=4)]
    for pattern in (
        r"^\d+[+*/-]\d+\n",
        r"\dx\d",
        r"\d x \d",
        "sum of",
        "quotient and remainder",
        "times",
        "plus",
    ):
        assert any(re.search(pattern, prompt) for prompt in prompts), pattern
    assert len(arithmetic.WORDINGS) == 30


def test_one_digit_sums_are_all_there_to_be_learned():
    contents = {i.content for i in arithmetic.generate(4000, 0, max_digits=1, kinds=["add"])}
    assert contents == {f"{a} + {b}" for a in range(1, 10) for b in range(1, 10)}


def test_generation_depends_on_the_seed_alone():
    assert arithmetic.generate(50, 3) == arithmetic.generate(80, 3)[:50]
    assert arithmetic.generate(50, 3) != arithmetic.generate(50, 4)


def test_vocabulary_covers_every_sign():
    known = set(arithmetic.vocabulary())
    for instruction in arithmetic.generate(4000, 0) + arithmetic.generate(4000, 1, max_digits=2):
        text = instruction.prompt + instruction.response
        assert set(re.findall(r"\n|\d|[^\W\d]+|[^\w\s]", text)) <= known


def test_a_hold_out_keeps_every_wording_of_an_expression_on_one_side():
    train, _ = hold_out(arithmetic.generate(3000, 0, max_digits=1), 0.2)
    _, held = hold_out(arithmetic.generate(3000, 1, max_digits=1), 0.2)
    assert train and held
    assert not {asked(instruction) for instruction in train} & {asked(instruction) for instruction in held}
    assert all(is_held_out(instruction, 0.2) for instruction in held)
    large = arithmetic.generate(5000, 0)
    assert 0.17 < len(hold_out(large, 0.2)[1]) / len(large) < 0.23


def test_bad_input_is_refused():
    for options in ({"kinds": ["modulo"]}, {"max_digits": 0}):
        with pytest.raises(ValueError, match="kinds must be of add"):
            arithmetic.generate(1, 0, **options)
    with pytest.raises(ValueError, match="raise max_digits"):
        arithmetic.generate(1, 0, max_digits=1, kinds=["mul_long"])
    with pytest.raises(ValueError, match="between 0 and 1"):
        hold_out([], 1.0)
