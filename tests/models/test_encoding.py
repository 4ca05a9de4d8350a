"""Encoding under a word-level and a byte-level BPE tokenizer, both made here."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from circuit_distillation.models.encoding import encode
from circuit_distillation.tasks import get_task

ENTITY = get_task("entity")
STORIES = get_task("tom", templates="all")


def word_level(words, **special):
    split = pre_tokenizers.Split(Regex(r"\n|\d|[^\W\d]+|[^\w\s]"), behavior="removed", invert=True)
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = split
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"} | special
    return PreTrainedTokenizerFast(tokenizer_object=inner, **special)


def byte_pairs(texts, vocab_size=3000):
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet, special_tokens=["<s>"], show_progress=False
    )
    inner.train_from_iterator(texts, trainer)
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="<s>")


def corpus(task, n_groups):
    return [
        f"{example.prompt} {word}" for example in task.generate(n_groups, 99) for word in example.candidates
    ]


@pytest.fixture(scope="module")
def words():
    return word_level(
        [*ENTITY.vocabulary(), *[w for w in STORIES.vocabulary() if w not in ENTITY.vocabulary()]]
    )


@pytest.fixture(scope="module")
def pairs():
    return byte_pairs([*corpus(ENTITY, 60), *corpus(STORIES, 100)])


@pytest.mark.parametrize("kind", ["words", "pairs"])
@pytest.mark.parametrize("task", [ENTITY, STORIES], ids=["entity", "tom"])
def test_every_role_is_found_at_the_token_that_reads_as_the_role(kind, task, request):
    tokenizer = request.getfixturevalue(kind)
    examples = task.generate(14, 3)
    encoded = encode(tokenizer, examples)
    assert {"query_label", "query_name"} & set(encoded.positions)
    for role, positions in encoded.positions.items():
        for row, (example, at) in enumerate(zip(examples, positions.tolist())):
            token = tokenizer.decode([encoded.input_ids[row, at]]).strip()
            text = example.text(role)
            assert token == text if role != "last" else text.endswith(token), role


@pytest.mark.parametrize("kind", ["words", "pairs"])
def test_answers_are_the_token_that_follows_the_prompt(kind, request):
    tokenizer = request.getfixturevalue(kind)
    examples = ENTITY.generate(5, 4)
    encoded = encode(tokenizer, examples)
    for row, example in enumerate(examples):
        whole = tokenizer(f"{example.prompt} {example.answer}").input_ids
        length = int(encoded.attention_mask[row].sum())
        assert whole == [*encoded.input_ids[row, :length].tolist(), encoded.answer_ids[row].item()]
        names = [tokenizer.decode([token]).strip() for token in encoded.candidate_ids[row]]
        assert tuple(names) == example.candidates


def test_a_space_belongs_to_the_word_in_byte_pairs(pairs):
    encoded = encode(pairs, ENTITY.generate(1, 0))
    assert pairs.decode([encoded.answer_ids[0]]).startswith(" ")


def test_entity_prompts_have_the_layout_of_the_prior_work(words, pairs):
    for tokenizer in (words, pairs):
        encoded = encode(tokenizer, ENTITY.generate(3, 5))
        assert encoded.input_ids.shape == (21, 54)
        assert encoded.positions["last"].tolist() == [53] * 21
        assert encoded.positions["query_label"].tolist() == [51] * 21
        assert encoded.positions["previous_label"].tolist() == [6 + 7 * slot for slot in range(7)] * 3
        assert encoded.positions["object_1"].tolist() == [2] * 21


@pytest.mark.parametrize("task", [ENTITY, STORIES], ids=["entity", "tom"])
def test_corrupted_counterparts_have_the_layout_of_the_clean(words, task):
    clean = task.generate(13, 6)
    a, b = encode(words, clean), encode(words, task.corrupt(clean, 0))
    assert torch.equal(a.attention_mask, b.attention_mask)
    for role in set(a.positions) - {"previous_label", "answer_object"}:
        same = a.positions[role] == b.positions[role]
        moved = [clean[row].cell for row in (~same).nonzero().flatten().tolist()]
        assert set(moved) <= ({"unseen"} if role == "query_container" else set())


def test_shorter_prompts_are_padded_on_the_right(words):
    examples = STORIES.generate(2, 0)  # without and with visibility sentences
    encoded = encode(words, examples)
    lengths = encoded.attention_mask.sum(1)
    assert lengths[0] < lengths[4] == encoded.input_ids.shape[1]
    assert encoded.input_ids[0, lengths[0] :].eq(words.pad_token_id).all()
    assert encoded.positions["last"].tolist() == (lengths - 1).tolist()
    assert "can_1" not in encoded.positions and "drink_2" in encoded.positions


def test_an_unknown_word_is_named(words):
    small = word_level([word for word in ENTITY.vocabulary() if word != "Box"])
    with pytest.raises(ValueError, match="does not know a word of entity-"):
        encode(small, ENTITY.generate(1, 0))
    example = replace(ENTITY.generate(1, 0)[0], answer="zeppelin")
    with pytest.raises(ValueError, match="zeppelin"):
        encode(words, [example])


def test_words_of_several_tokens_are_named():
    examples = ENTITY.generate(1, 0)
    with pytest.raises(ValueError, match=f"Not one known token each: .*{examples[0].answer}"):
        encode(byte_pairs([], vocab_size=257), [examples[0]])


def test_a_template_of_two_lengths_is_refused(pairs):
    first, *_ = ENTITY.generate(1, 0)
    odd = replace(first, prompt=first.prompt.replace(first.answer, "qxzzv"), spans={})
    with pytest.raises(ValueError, match="the tokenizer splits a word; leave it out with exclude_words"):
        encode(pairs, [first, odd])


def test_bad_input_is_refused(words):
    first, *_ = ENTITY.generate(1, 0)
    with pytest.raises(ValueError, match="no examples"):
        encode(words, [])
    with pytest.raises(ValueError, match="candidates"):
        encode(words, [first, replace(first, candidates=first.candidates[:3])])
    with pytest.raises(ValueError, match="does not fit the prompt"):
        encode(words, [replace(first, spans={"last": (0, 10_000)})])


def test_leaving_out_split_words_is_the_remedy():
    tokenizer = word_level([word for word in ENTITY.vocabulary() if word not in ("apple", "umbrella")])
    task = get_task("entity", exclude_words=("apple", "umbrella"))
    assert encode(tokenizer, task.generate(30, 1)).input_ids.shape == (210, 54)
