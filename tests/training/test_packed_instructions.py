from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from circuit_distillation.models.mini import build_model, build_tokenizer
from circuit_distillation.training.packed_instructions import (
    encode_instructions,
    exact_matches,
    instruction_sampler,
    pack_instructions,
)
from circuit_distillation.training.packing import target_results
from circuit_distillation.training.pretraining import TrainSettings, train_on


@dataclass(frozen=True)
class Instruction:
    prompt: str
    response: str


INSTRUCTIONS = [
    Instruction("Instruction: Repeat the words.\nInput: pen cup\nAnswer:", " pen cup"),
    Instruction("Instruction: Say it.\nAnswer:", " 12"),
    Instruction("Instruction: Name the first word.\nInput: cup pen\nAnswer:", " cup"),
]


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(text for x in INSTRUCTIONS for text in (x.prompt, x.response))


@pytest.fixture(scope="module")
def trained(tokenizer):
    model = build_model("small", tokenizer, 0)
    train_on(
        model, instruction_sampler(tokenizer, INSTRUCTIONS[:2], 2), TrainSettings(3e-3, 40, warmup_steps=5)
    )
    return model


def test_loss_is_on_the_response_and_the_end_only(tokenizer):
    """Naive twin: one forward an instruction in float64, cross-entropy over the tokens after the prompt."""
    model = build_model("small", tokenizer, 1).double()
    losses = []
    for x in INSTRUCTIONS:
        prompt = tokenizer(x.prompt)["input_ids"]
        text = [
            *prompt,
            *tokenizer(x.response, add_special_tokens=False)["input_ids"],
            tokenizer.eos_token_id,
        ]
        log_probs = model(torch.tensor([text])).logits[0].log_softmax(-1)
        losses += [-log_probs[at - 1, text[at]] for at in range(len(prompt), len(text))]
    batch = pack_instructions(encode_instructions(tokenizer, INSTRUCTIONS), tokenizer.pad_token_id)
    (result,) = target_results(model, batch)
    assert result.loss.item() == pytest.approx(torch.stack(losses).mean().item(), abs=1e-9)


def test_exact_match_is_what_greedy_decoding_gives(trained, tokenizer):
    def generated(x):
        prompt = torch.tensor([tokenizer(x.prompt)["input_ids"]])
        ids = trained.generate(prompt, do_sample=False, max_new_tokens=8)[0, prompt.shape[1] :]
        return tokenizer.decode(ids).split()

    matches = exact_matches(trained, tokenizer, INSTRUCTIONS, batch_size=2)
    wanted = [[*tokenizer.tokenize(x.response), tokenizer.eos_token] for x in INSTRUCTIONS]
    assert matches.tolist() == [
        " ".join(generated(x)).replace(" ", "") == "".join(words)
        for x, words in zip(INSTRUCTIONS, wanted, strict=True)
    ]
    assert matches.tolist() == [True, True, False]  # two were trained on, the third was not


def test_same_seed_gives_the_same_batch(tokenizer):
    sample = instruction_sampler(tokenizer, INSTRUCTIONS, 2)
    first, again = (sample(np.random.default_rng(4))[0].input_ids for _ in range(2))
    assert torch.equal(first, again)


def test_bad_input_is_named(tokenizer):
    with pytest.raises(ValueError, match="at least one"):
        encode_instructions(tokenizer, [])
    with pytest.raises(ValueError, match="empty response"):
        encode_instructions(tokenizer, [Instruction("Say it.", "")])
    with pytest.raises(ValueError, match="unknown word"):
        encode_instructions(tokenizer, [Instruction("Say zebra.", " cup")])
    with pytest.raises(ValueError, match="more than 512"):
        encode_instructions(tokenizer, [Instruction("pen " * 600, " cup")])
    with pytest.raises(ValueError, match="batch of 9"):
        instruction_sampler(tokenizer, INSTRUCTIONS, 9)
