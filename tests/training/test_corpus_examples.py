"""Next-token examples of a corpus: a prompt, a part of its response, and the token that comes next."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from circuit_distillation.models.mini import build_tokenizer
from circuit_distillation.training.corpus_examples import next_token_examples


@dataclass(frozen=True)
class Item:
    prompt: str
    response: str


ITEMS = [
    Item("Add 12 and 34.\nAnswer:", " 46"),
    Item("Add 7 and 5.\nAnswer:", " 12"),
    Item("Repeat pen cup.\nAnswer:", " pen cup pen cup"),
    Item("Say cup.\nAnswer:", " cup"),
]


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(text for item in ITEMS for text in (item.prompt, item.response))


def texts(tokenizer) -> list[tuple[list[int], list[int]]]:
    """(prompt ids, response ids with the end) of each item."""
    responses = [tokenizer(item.response, add_special_tokens=False)["input_ids"] for item in ITEMS]
    ends = [[*ids, tokenizer.eos_token_id] for ids in responses]
    return [(tokenizer(item.prompt)["input_ids"], end) for item, end in zip(ITEMS, ends, strict=True)]


def read(tokenizer, seed: int, n: int = 4) -> set[tuple[int, int]]:
    """The (item, number of response tokens given) of each example, after checking that it is one."""
    encoded, found = next_token_examples(tokenizer, ITEMS, n, seed), set()
    for ids, mask, answer in zip(encoded.input_ids, encoded.attention_mask, encoded.answer_ids, strict=True):
        row = ids[mask.bool()].tolist()
        fitting = [
            (index, len(row) - len(prompt))
            for index, (prompt, response) in enumerate(texts(tokenizer))
            if row[: len(prompt)] == prompt
            and row[len(prompt) :] + [int(answer)] == (response[: len(row) - len(prompt) + 1])
        ]
        assert len(fitting) == 1
        found.add(fitting[0])
    return found


def test_every_example_is_an_item_of_its_own(tokenizer) -> None:
    for seed in range(10):
        assert sorted(item for item, _ in read(tokenizer, seed)) == [0, 1, 2, 3]
    assert len(read(tokenizer, 0, n=2)) == 2


def test_every_token_of_a_response_and_its_end_is_asked_for(tokenizer) -> None:
    seen = set().union(*(read(tokenizer, seed) for seed in range(60)))
    lengths = [len(response) for _, response in texts(tokenizer)]
    assert lengths == [3, 3, 5, 2]
    assert seen == {(item, cut) for item, length in enumerate(lengths) for cut in range(length)}


def test_padding_and_the_last_token(tokenizer) -> None:
    encoded = next_token_examples(tokenizer, ITEMS, 4, 0)
    lengths = encoded.attention_mask.sum(1)
    assert encoded.input_ids.shape[1] == lengths.max() and lengths.min() < lengths.max()
    for row, length in enumerate(lengths.tolist()):
        assert encoded.attention_mask[row].tolist() == [1] * length + [0] * (int(lengths.max()) - length)
        assert (encoded.input_ids[row, length:] == tokenizer.pad_token_id).all()
    assert list(encoded.positions) == ["last"] and torch.equal(encoded.positions["last"], lengths - 1)
    assert torch.equal(encoded.candidate_ids, encoded.answer_ids[:, None])


def test_the_seed_decides(tokenizer) -> None:
    first, again, other = (next_token_examples(tokenizer, ITEMS, 4, seed) for seed in (1, 1, 2))
    assert torch.equal(first.input_ids, again.input_ids) and torch.equal(first.answer_ids, again.answer_ids)
    assert first.answer_ids.tolist() != other.answer_ids.tolist()


def test_a_tokenizer_without_padding_pads_with_the_end() -> None:
    tokenizer = build_tokenizer(text for item in ITEMS for text in (item.prompt, item.response))
    tokenizer.pad_token = None
    encoded = next_token_examples(tokenizer, ITEMS, 4, 0)
    assert (encoded.input_ids[encoded.attention_mask == 0] == tokenizer.eos_token_id).all()


def test_a_corpus_that_is_too_small_is_refused(tokenizer) -> None:
    with pytest.raises(ValueError, match="the corpus has 4 items, 5 are asked for"):
        next_token_examples(tokenizer, ITEMS, 5, 0)
