"""Plain folders from GGUF files, made here with the package gguf."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from standins import train_open_bpe
from transformers import LlamaConfig, LlamaForCausalLM

from circuit_distillation.models.checkpoint_files import check_config, check_weights
from circuit_distillation.models.gguf import convert, main
from circuit_distillation.models.loading import load_checkpoint

gguf = pytest.importorskip("gguf")
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def file(tmp_path_factory, model) -> Path:
    """The model in llama.cpp's form: rows of q and k interleaved for its rotary embedding, MLPs in 8 bits."""
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    writer, config, tokenizer = gguf.GGUFWriter(path, "llama"), model.config, train_open_bpe(320)
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(16)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(320)
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words + [f"<unused{k}>" for k in range(320 - len(words))])
    writer.add_token_types([3] + [1] * 319)
    writer.add_token_merges([" ".join(pair) for pair in _merges(tokenizer)])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name, tensor in model.state_dict().items():
        _add(writer, name, tensor, config)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _merges(tokenizer) -> list[list[str]]:
    import json

    return json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]


def _add(writer, name: str, tensor: torch.Tensor, config: LlamaConfig) -> None:
    values = tensor.numpy()
    for which, heads in (("q_proj", config.num_attention_heads), ("k_proj", config.num_key_value_heads)):
        if which in name:
            values = values.reshape(heads, 2, -1, 64).swapaxes(1, 2).reshape(values.shape)
    ends = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    stem = name.removesuffix(".weight")
    if stem in ends:
        writer.add_tensor(f"{ends[stem]}.weight", np.ascontiguousarray(values))
        return
    _, _, layer, part = stem.split(".", 3)
    to = f"blk.{layer}.{NAMES[part]}.weight"
    if part.startswith("mlp"):
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(to, gguf.quants.quantize(np.ascontiguousarray(values), kind), raw_dtype=kind)
    else:
        writer.add_tensor(to, np.ascontiguousarray(values))


def test_a_folder_holds_the_dequantised_weights_and_says_so(file, model, tmp_path, capsys):
    folder = tmp_path / "plain"
    assert main([str(file), str(folder)]) == 0
    check_config(folder)
    check_weights(folder)
    plain = load_checkpoint(folder)
    assert not hasattr(plain.model.config, "quantization_config")
    for (name, before), after in zip(model.named_parameters(), plain.model.parameters(), strict=True):
        rounding = before.abs().max() / 127 if "mlp" in name else 0.0  # steps of a scale for each 32 weights
        assert (before - after).abs().max() <= rounding, name
    assert plain.tokenizer("Box 12").input_ids == train_open_bpe(320)("Box 12").input_ids
    note = (folder / "README.md").read_text()
    assert "dequantised" in note and "F32, Q8_0" in note and "model.gguf" in note
    ids = torch.arange(20)[None]
    assert (plain.model(ids).logits - model(ids).logits).abs().max() < 0.05


def test_what_cannot_be_converted_is_one_line_and_leaves_nothing(file, tmp_path, capsys):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(file.read_bytes()[:2000])
    text = tmp_path / "text.gguf"
    text.write_text("no weights")
    cases = {
        tmp_path / "absent.gguf": "there is no file",
        text: "is no GGUF file: it does not begin with GGUF",
        broken: "transformers cannot read",
    }
    for path, line in cases.items():
        assert main([str(path), str(tmp_path / "new")]) == 1
        error = capsys.readouterr().err.strip()
        assert line in error and "\n" not in error
        assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="is there already: name a new folder"):
        convert(file, tmp_path)
