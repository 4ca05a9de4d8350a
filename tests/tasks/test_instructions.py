"""Own instructions: each response worked out anew from the prompt; and Alpaca's own file."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from circuit_distillation.tasks import alpaca, instructions
from circuit_distillation.tasks.corpus import hold_out
from circuit_distillation.tasks.instruction_words import CATEGORIES, COLORS, OPPOSITES, PLURALS
from circuit_distillation.tasks.words import LETTERS, OBJECTS

CORPUS = instructions.generate(22 * 300, 0)
NUMBER = dict(zip("one two three four five six".split(), range(1, 7)))
ORDER = dict(zip("first second third fourth fifth".split(), range(5)))
KIND = {word: category for category, words in CATEGORIES.items() for word in words}


def parts(instruction):
    match = re.fullmatch(r"Instruction: (.+?)(?:\nInput: (.+))?\nAnswer:", instruction.prompt)
    assert match and instruction.response.startswith(" ") and instruction.response.strip()
    return match[1], (match[2] or "").split(), instruction.response.strip()


def named(text, words):
    """The one word of the instruction that is in `words`, its last occurrence first."""
    return next(word for word in reversed(re.findall(r"\w+", text)) if word in words)


def odd(words):
    kinds = Counter(KIND[word] for word in words)
    return next(word for word in words if kinds[KIND[word]] == 1)


READINGS = {
    "opposite": lambda text, words: OPPOSITES[named(text, OPPOSITES)],
    "plural": lambda text, words: PLURALS[named(text, PLURALS)],
    "color": lambda text, words: COLORS[named(text, COLORS)],
    "category": lambda text, words: KIND[named(text, KIND)],
    "is_a": lambda text, words: "yes" if named(text, KIND) in CATEGORIES[named(text, CATEGORIES)] else "no",
    "odd_one": lambda text, words: odd(words),
    "first_word": lambda text, words: words[0],
    "last_word": lambda text, words: words[-1],
    "position": lambda text, words: words[ORDER[named(text, ORDER)]],
    "follows": lambda text, words: words[words.index(named(text, words)) + 1],
    "repeat": lambda text, words: " ".join(words),
    "reverse": lambda text, words: " ".join(words[::-1]),
    "remove": lambda text, words: " ".join(word for word in words if word != named(text, words)),
    "member": lambda text, words: "yes" if named(text, OBJECTS) in words else "no",
    "sort": lambda text, words: " ".join(sorted(words)),
    "same": lambda text, words: "yes" if words[0] == words[1] else "no",
    "next_letter": lambda text, words: chr(ord(named(text, LETTERS)) + 1),
    "letter_before": lambda text, words: chr(ord(named(text, LETTERS)) - 1),
    "larger": lambda text, words: str(max(map(int, re.findall(r"\d+", text)))),
    "smaller": lambda text, words: str(min(map(int, re.findall(r"\d+", text)))),
    "initial": lambda text, words: named(text, OBJECTS)[0].upper(),
}


@pytest.mark.parametrize("kind", sorted(instructions.KINDS))
def test_responses_are_right(kind):
    examples = [instruction for instruction in CORPUS if instruction.kind == kind]
    assert len(examples) == 300
    for instruction in examples:
        text, words, response = parts(instruction)
        if kind == "count":
            assert NUMBER[response] == len(words)
        else:
            assert response == READINGS[kind](text, words), instruction.prompt


def test_kinds_and_wordings():
    assert len(instructions.KINDS) >= 15
    assert Counter(instruction.kind for instruction in CORPUS) == dict.fromkeys(instructions.KINDS, 300)
    for kind, (_, wordings) in instructions.KINDS.items():
        assert len(set(wordings)) >= 3, kind
    assert {i.kind for i in instructions.generate(9, 0, kinds=("same", "sort"))} == {"same", "sort"}


def test_yes_and_no_are_balanced():
    for kind in ("is_a", "member", "same"):
        share = Counter(i.response for i in CORPUS if i.kind == kind)[" yes"] / 300
        assert 0.4 < share < 0.6, kind


def test_responses_are_short():
    assert max(len(instruction.response.split()) for instruction in CORPUS) <= 5


def test_dictionaries_are_unambiguous():
    assert sum(len(words) for words in CATEGORIES.values()) == len(KIND)
    assert all(OPPOSITES[OPPOSITES[word]] == word for word in OPPOSITES if OPPOSITES[word] != "light")
    assert all(word != other for word, other in (PLURALS | COLORS).items())


def test_vocabulary_covers_every_sign():
    known = set(instructions.vocabulary())
    for instruction in CORPUS:
        assert set(re.findall(r"\n|\d|[^\W\d]+|[^\w\s]", instruction.prompt + instruction.response)) <= known


def test_generation_depends_on_the_seed_alone():
    assert instructions.generate(50, 3) == instructions.generate(80, 3)[:50]
    assert instructions.generate(50, 3) != instructions.generate(50, 4)


def test_a_hold_out_shares_no_prompt_with_another_corpus():
    train, _ = hold_out(CORPUS, 0.1)
    _, held = hold_out(instructions.generate(22 * 300, 1), 0.1)
    assert not {i.prompt for i in train} & {i.prompt for i in held}
    assert {i.kind for i in held} == set(instructions.KINDS)


def test_bad_kinds_are_refused():
    for kinds in (("rhyme",), ()):
        with pytest.raises(ValueError, match="kinds must name some of opposite"):
            instructions.generate(1, 0, kinds=kinds)


def write(path, rows):
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def test_alpaca_rows_take_the_template_that_fits(tmp_path):
    rows = [
        {"instruction": "Name a tree.", "input": "", "output": "Oak {sic}"},
        {"instruction": "Translate.", "input": "Baum", "output": "tree"},
        {"instruction": "Say nothing.", "input": "", "output": "  "},
        {"instruction": "Name a bird.", "input": "<noinput>", "output": "Crow"},
        {"instruction": "Name {it}.", "output": "It"},
    ]
    loaded = alpaca.load(write(tmp_path / "alpaca_data.json", rows))
    assert [i.kind for i in loaded] == ["no_input", "with_input", "no_input", "no_input"]
    assert [i.response for i in loaded] == ["Oak {sic}", "tree", "Crow", "It"]
    first, second, third, fourth = (i.prompt for i in loaded)
    assert first == (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request."
        "\n\n### Instruction:\nName a tree.\n\n### Response:\n"
    )
    assert second == (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request."
        "\n\n### Instruction:\nTranslate.\n\n### Input:\nBaum\n\n### Response:\n"
    )
    assert "### Input" not in third and "Name {it}." in fourth


def test_alpaca_files_of_another_form_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        alpaca.load(tmp_path / "none.json")
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="is not JSON"):
        alpaca.load(broken)
    with pytest.raises(ValueError, match="row 0 of .* lacks a text under instruction and output"):
        alpaca.load(write(tmp_path / "object.json", {"data": []}))
    with pytest.raises(ValueError, match="row 1 of"):
        alpaca.load(
            write(tmp_path / "rows.json", [{"instruction": "a", "output": "b"}, {"instruction": "a"}])
        )
