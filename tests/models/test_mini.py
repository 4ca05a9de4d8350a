from __future__ import annotations

import pytest
import torch

from circuit_distillation.models.loading import load_model
from circuit_distillation.models.mini import build_model, build_tokenizer
from circuit_distillation.models.mini_sizes import MINI_SIZES

TEXT = "The apple is in Box F, 340 + 2. Box F contains the"


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(["The apple is in Box F", "contains the", "Answer:", "+", ",", ".", "\n"])


def test_every_word_sign_and_digit_is_one_token(tokenizer):
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(TEXT).input_ids)
    assert tokens == ["<s>", *"The apple is in Box F , 3 4 0 + 2 . Box F contains the".split()]
    assert tokenizer.decode(tokenizer(TEXT, add_special_tokens=False).input_ids).split() == tokens[1:]


def test_spaces_do_not_matter_but_case_and_newlines_do(tokenizer):
    texts = ["apple", " apple", "The", "the", "the\nthe"]
    ids = {text: tokenizer(text, add_special_tokens=False).input_ids for text in texts}
    assert ids["apple"] == ids[" apple"]
    assert ids["The"] != ids["the"]
    assert len(ids["the\nthe"]) == 3


def test_ids_do_not_depend_on_the_order_of_words_and_unknown_words_are_unk():
    a, b = build_tokenizer(["x", "y", "z"]), build_tokenizer(["z", "x", "y"])
    assert a.get_vocab() == b.get_vocab()
    assert a("q", add_special_tokens=False).input_ids == [a.unk_token_id]


def test_tokenizer_and_model_survive_saving(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    model = build_model("small", tokenizer, seed=0)
    tokenizer.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    again, ids = AutoTokenizer.from_pretrained(tmp_path), tokenizer(TEXT, return_tensors="pt").input_ids
    assert again(TEXT).input_ids == ids[0].tolist()
    assert again(TEXT, return_offsets_mapping=True).offset_mapping[2] == (4, 9)
    assert (again.bos_token, again.eos_token, again.pad_token) == ("<s>", "</s>", "<pad>")
    assert again.model_max_length == 512
    assert torch.equal(load_model(tmp_path, "float32", "sdpa")(ids).logits, model.eval()(ids).logits)


def test_seeds_decide_the_weights_and_leave_the_global_state_alone(tokenizer):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two, three = (build_model("small", tokenizer, seed=s).state_dict() for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["lm_head.weight"], three["lm_head.weight"])


@pytest.mark.parametrize("role", MINI_SIZES)
def test_shapes_and_scales(tokenizer, role):
    model, size = build_model(role, tokenizer, seed=0), MINI_SIZES[role]
    assert model.config.num_attention_heads * model.config.num_hidden_layers >= 32
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.config.rope_parameters["rope_theta"] == 1000.0
    q = model.model.layers[0].self_attn.q_proj.weight
    assert q.shape == (size.n_heads * size.d_head, size.d_model)
    assert q.std().item() == pytest.approx(size.d_model**-0.5, rel=0.05)


def test_an_unknown_role_is_refused(tokenizer):
    with pytest.raises(ValueError, match="choose one of small, medium, large"):
        build_model("huge", tokenizer, seed=0)
