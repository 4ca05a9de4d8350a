"""Teacher signals against a plain forward, and the file they are stored in."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from training.distillation_case import prompts, teacher

from circuit_distillation.models.loading import model_hash
from circuit_distillation.training.teacher_cache import (
    data_hash,
    load_signals,
    save_signals,
    teacher_signals,
)

SITES = [(0, 1), (3, 5), (2, None)]


def naive(model, encoded, example, position):
    """Head outputs and residual streams of one unpadded prompt at one position, by hooks of its own."""
    seen = {}
    for index, layer in enumerate(model.model.layers):
        layer.self_attn.o_proj.register_forward_hook(lambda _, x, y, i=index: seen.update({("z", i): x[0]}))
        layer.register_forward_hook(lambda _, x, y, i=index: seen.update({("residual", i): y}))
    length = int(encoded.attention_mask[example].sum())
    with torch.no_grad():
        logits = model(input_ids=encoded.input_ids[example : example + 1, :length]).logits[0, -1]
    heads = {
        (layer, head): seen["z", layer][0, position].view(6, 8)[head]
        for layer in range(4)
        for head in range(6)
    }
    return logits, heads | {(layer, None): seen["residual", layer][0, position] for layer in range(4)}


@pytest.mark.parametrize("rows", ["last", "box"])
def test_signals_are_those_of_a_plain_forward(rows):
    encoded = prompts(5, seed=1)
    signals = teacher_signals(teacher(), encoded, SITES, rows=rows, keep_logits=True, batch_size=2)
    for example in range(5):
        logits, features = naive(teacher(), encoded, example, encoded.positions[rows][example])
        torch.testing.assert_close(signals.logits[example], logits, rtol=0, atol=1e-9)
        assert signals.labels[example] == logits.argmax()
        for site in SITES:
            torch.testing.assert_close(signals.features[site][example, 0], features[site], rtol=0, atol=1e-9)


def test_all_rows_are_every_position():
    encoded = prompts(3, seed=1)
    signals = teacher_signals(teacher(), encoded, SITES, rows="all")
    last = teacher_signals(teacher(), encoded, SITES, rows="last")
    assert signals.features[0, 1].shape == (3, 7, 8) and signals.logits is None
    picked = signals.features[0, 1][torch.arange(3), encoded.positions["last"]]
    torch.testing.assert_close(picked, last.features[0, 1][:, 0], rtol=0, atol=0)


def test_a_stored_file_holds_the_same_and_names_teacher_and_prompts(tmp_path):
    encoded, path = prompts(5, seed=1), tmp_path / "folder" / "signals.safetensors"
    fresh = teacher_signals(teacher(), encoded, SITES, rows="box", keep_logits=True)
    save_signals(fresh, path)
    again = load_signals(path)
    assert torch.equal(fresh.labels, again.labels) and torch.equal(fresh.logits, again.logits)
    assert all(torch.equal(fresh.features[site], again.features[site]) for site in SITES)
    assert (again.rows, again.teacher_hash) == ("box", model_hash(teacher()))
    assert again.data_hash == data_hash(encoded, "box")
    assert {file.name for file in path.parent.iterdir()} == {path.name, f".{path.name}.sha256"}


def test_a_file_has_one_entry_of_metadata_since_several_have_no_order(tmp_path):
    signals = teacher_signals(teacher(), prompts(3, seed=1), SITES)
    save_signals(signals, tmp_path / "signals.safetensors")
    with safe_open(tmp_path / "signals.safetensors", framework="pt") as file:
        assert list(file.metadata()) == ["about"]


def test_the_hash_of_the_data_sees_prompts_rows_and_positions():
    encoded = prompts(5, seed=1)
    other, moved = replace(encoded, input_ids=encoded.input_ids.clone()), dict(encoded.positions)
    other.input_ids[0, 0] += 1
    moved["box"] = moved["box"] - 1
    hashes = {data_hash(encoded, "last"), data_hash(encoded, "box"), data_hash(encoded, "all")}
    hashes |= {data_hash(other, "last"), data_hash(replace(encoded, positions=moved), "box")}
    assert len(hashes) == 5 and data_hash(prompts(5, seed=1), "last") in hashes


def test_a_role_that_the_examples_lack_raises():
    with pytest.raises(ValueError, match="answer_object"):
        teacher_signals(teacher(), prompts(3, seed=1), SITES, rows="answer")
    with pytest.raises(ValueError, match="no such site"):
        teacher_signals(teacher(), prompts(3, seed=1), [(4, 0)])
