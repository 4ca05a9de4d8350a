"""Prompts in a byte-level BPE that splits as Llama-3's does: words, layouts, positions, answers."""

from __future__ import annotations

import logging

import pytest
from standins import UNSEEN, train_bpe, train_sentencepiece

from circuit_distillation.models.encoding import encode
from circuit_distillation.models.words import continuations, split_words
from circuit_distillation.tasks import get_task
from circuit_distillation.training.tuning_tokens import tokenise


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe()


def test_digits_are_cut_in_threes_from_the_left_and_words_take_their_space(tokenizer):
    pieces = [
        piece for piece, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(" Box A, 1234567")
    ]
    assert pieces == ["ĠBox", "ĠA", ",", "Ġ", "123", "456", "7"]


@pytest.fixture(scope="module")
def sentencepiece():
    return train_sentencepiece()


def test_words_of_sentencepiece_are_cut_as_they_follow_a_prompt(sentencepiece):
    """Alone, " apple" would be two spaces and a word."""
    assert len(sentencepiece(" apple", add_special_tokens=False).input_ids) == 2
    for name in ("entity", "tom"):
        task = get_task(name)
        assert split_words(sentencepiece, task.words()) == []
        encoded, examples = encode(sentencepiece, task.generate(4, 0)), task.generate(4, 0)
        ids = continuations(sentencepiece, [f" {example.answer}" for example in examples])
        assert ids == [[answer] for answer in encoded.answer_ids.tolist()]
        for role, positions in encoded.positions.items():
            for row, example in enumerate(examples):
                if role != "last":
                    token = sentencepiece.decode(encoded.input_ids[row, positions[row]])
                    assert token.strip() == example.text(role)


@pytest.mark.parametrize("kind", ["tokenizer", "sentencepiece"])
@pytest.mark.parametrize("text", [" 42", " an old red pot.", "Yes", "\n\nNo", " \tx", "\n", "", " 日本"])
def test_a_continuation_reads_as_its_text_after_a_prompt(kind, text, request):
    tokenizer = request.getfixturevalue(kind)
    start = tokenizer("Answer:").input_ids
    (ids,) = continuations(tokenizer, [text])
    assert tokenizer.decode(start[1:] + ids) == f"Answer:{text}"
    if kind == "tokenizer":  # of bytes: the same alone
        assert ids == tokenizer(text, add_special_tokens=False).input_ids


def test_words_that_split_are_named_and_counted(tokenizer, caplog):
    words = get_task("entity").words()
    with caplog.at_level(logging.WARNING):
        assert split_words(tokenizer, words) == [word for word in words if word in UNSEEN]
    assert f"2 of {len(words)} words are not one token each and are left out: guitar, umbrella" in caplog.text


@pytest.mark.parametrize(("task", "options"), [("entity", {}), ("tom", {"instruction": "full"})])
def test_every_prompt_has_its_template_layout_and_its_roles_where_the_words_are(tokenizer, task, options):
    source = get_task(task, exclude_words=UNSEEN, **options)
    examples = source.generate(8, 0)
    encoded = encode(tokenizer, examples)
    for row, example in enumerate(examples):
        ids = encoded.input_ids[row]
        assert ids[0] == tokenizer.bos_token_id
        for role, positions in encoded.positions.items():
            if role != "last":
                assert tokenizer.decode(ids[positions[row]]).strip() == example.text(role), role
        assert tokenizer.decode(encoded.answer_ids[row]) == f" {example.answer}"
    if task == "entity":  # five tokens and seven a box; box k's letter at 6 + 7 k
        assert encoded.input_ids.shape[1] == 5 + 7 * 7
        assert [int(encoded.positions[f"box_{k + 1}"][0]) for k in range(7)] == [6 + 7 * k for k in range(7)]
        assert int(encoded.positions["query_label"][0]) == int(encoded.positions["last"][0]) - 2


def test_a_word_that_splits_is_refused_with_the_remedy(tokenizer):
    examples = [e for e in get_task("entity").generate(40, 0) if "guitar" in e.prompt or "lamp" in e.prompt]
    with pytest.raises(ValueError, match="exclude_words"):
        encode(tokenizer, examples)


def test_too_few_words_are_an_error():
    task = get_task("entity")
    with pytest.raises(ValueError, match="exclude fewer or lower n_boxes"):
        get_task("entity", exclude_words=task.words()[:80])
    with pytest.raises(ValueError, match="letters"):
        get_task("entity", exclude_words=task.words()[-20:])


def test_letters_that_split_are_left_out_of_prompts_and_of_corrupted_ones():
    task = get_task("entity", exclude_words=["A", "B", "C"])
    examples = task.generate(20, 0)
    for example in (*examples, *task.corrupt(examples, 0)):
        letters = {example.text(role) for role in example.spans if role.startswith("box_")}
        assert not {"A", "B", "C"} & (letters | {example.text("query_label")})


def test_prompt_and_response_are_tokenised_apart(tokenizer):
    class Item:
        prompt, response = "The list is:", "The apple"

    tokens = tokenise(tokenizer, [Item], 50)
    prompt, response = (
        tokenizer(Item.prompt).input_ids,
        tokenizer(Item.response, add_special_tokens=False).input_ids,
    )
    assert tokens.tokens.tolist() == [*prompt, *response, tokenizer.eos_token_id]
    assert tokens.prompt_lengths.tolist() == [len(prompt)]
