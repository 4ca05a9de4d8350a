"""Checkpoints are whole or absent, and a hash tells any two sets of weights apart."""

from __future__ import annotations

import os

import pytest
import torch
from naive.tiny_models import tiny_model, tiny_prompts

from circuit_distillation.models.loading import (
    Checkpoint,
    check_same_model,
    is_checkpoint,
    load_checkpoint,
    model_hash,
    save_checkpoint,
)
from circuit_distillation.models.mini import build_tokenizer
from circuit_distillation.storage import folders


def checkpoint(seed: int = 0) -> Checkpoint:
    return Checkpoint(tiny_model(n_layers=1, seed=seed), build_tokenizer(["The pen is in Box", "A."]))


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model(input_ids=tiny_prompts(2, 5)).logits


def test_what_is_saved_is_loaded(tmp_path) -> None:
    saved = checkpoint()
    save_checkpoint(saved, tmp_path / "deep" / "small")
    found = load_checkpoint(tmp_path / "deep" / "small", dtype="float64", attention="eager")
    assert torch.equal(logits(found.model), logits(saved.model))
    assert model_hash(found.model) == model_hash(saved.model)
    assert found.tokenizer("The pen")["input_ids"] == saved.tokenizer("The pen")["input_ids"]
    assert found.model.config._attn_implementation == "eager" and not found.model.training
    assert os.listdir(tmp_path / "deep") == ["small"]
    assert not [name for name in os.listdir(tmp_path / "deep" / "small") if name.endswith((".bin", ".pt"))]


@pytest.mark.parametrize("beyond", range(0, 64, 8))
def test_logits_do_not_depend_on_where_weights_lie_in_the_file(tmp_path, beyond: int) -> None:
    saved = checkpoint()
    save_checkpoint(saved, tmp_path / "small")
    shift_data(tmp_path / "small" / "model.safetensors", beyond)
    (tmp_path / "small" / "checksums.json").unlink()
    found = load_checkpoint(tmp_path / "small", dtype="float64", attention="eager")
    assert torch.equal(logits(found.model), logits(saved.model))
    assert {weight.data_ptr() % 64 for weight in found.model.parameters()} == {0}


def shift_data(path, beyond: int) -> None:
    """Lengthen the header of a safetensors file, so that data begin `beyond` bytes after a multiple of 64."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    padding = (beyond - 8 - length) % 64
    header = content[8 : 8 + length] + b" " * padding
    path.write_bytes((length + padding).to_bytes(8, "little") + header + content[8 + length :])


def test_the_default_is_float32(tmp_path) -> None:
    save_checkpoint(checkpoint(), tmp_path / "small")
    assert load_checkpoint(tmp_path / "small").model.dtype == torch.float32


def test_a_newer_checkpoint_replaces_the_whole_folder(tmp_path) -> None:
    save_checkpoint(checkpoint(0), tmp_path / "small")
    (tmp_path / "small" / "stale.txt").write_text("of the old one")
    save_checkpoint(checkpoint(1), tmp_path / "small")
    found = load_checkpoint(tmp_path / "small", dtype="float64")
    assert model_hash(found.model) == model_hash(checkpoint(1).model)
    assert not (tmp_path / "small" / "stale.txt").exists() and os.listdir(tmp_path) == ["small"]


@pytest.mark.parametrize("older", [False, True])
def test_a_save_that_fails_halfway_leaves_no_half(tmp_path, monkeypatch, older: bool) -> None:
    if older:
        save_checkpoint(checkpoint(0), tmp_path / "small")
    broken = checkpoint(1)

    def fail(folder) -> None:
        assert is_checkpoint(folder)  # the model is written already
        raise OSError("no space left")

    monkeypatch.setattr(broken.tokenizer, "save_pretrained", fail)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(broken, tmp_path / "small")
    assert os.listdir(tmp_path) == (["small"] if older else [])
    if older:
        found = load_checkpoint(tmp_path / "small", dtype="float64")
        assert model_hash(found.model) == model_hash(checkpoint(0).model)


def test_the_older_checkpoint_comes_back_if_the_newer_cannot_move_in(tmp_path, monkeypatch) -> None:
    save_checkpoint(checkpoint(0), tmp_path / "small")
    replace, calls = os.replace, []

    def fail_second(source, target) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError("moved away")
        replace(source, target)

    monkeypatch.setattr(folders.os, "replace", fail_second)
    with pytest.raises(OSError, match="moved away"):
        save_checkpoint(checkpoint(1), tmp_path / "small")
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["small"]
    found = load_checkpoint(tmp_path / "small", dtype="float64")
    assert model_hash(found.model) == model_hash(checkpoint(0).model)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path) -> None:
    (tmp_path / "weights.bin").write_text("pickled")
    (tmp_path / "config.json").write_text("{}")
    for folder in (tmp_path, tmp_path / "absent"):
        assert not is_checkpoint(folder)
        with pytest.raises(ValueError, match="holds no checkpoint"):
            load_checkpoint(folder)


def test_one_weight_changes_the_hash() -> None:
    model = tiny_model(n_layers=1)
    first = model_hash(model)
    assert model_hash(tiny_model(n_layers=1)) == first != model_hash(tiny_model(n_layers=1, seed=1))
    assert len(first) == 16 and int(first, 16) >= 0
    weight = model.model.layers[0].mlp.up_proj.weight
    with torch.no_grad():
        old = weight[3, 4].clone()
        weight[3, 4] = torch.nextafter(old, old + 1)
        changed = model_hash(model)
        weight[3, 4] = old
    assert changed != first and model_hash(model) == first


def test_the_hash_knows_precision_and_layout() -> None:
    hashes = {model_hash(tiny_model(n_layers=1).to(dtype)) for dtype in (torch.float32, torch.bfloat16)}
    assert len(hashes) == 2
    flat, tall = torch.nn.Linear(2, 3, bias=False), torch.nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        tall.weight.copy_(flat.weight.reshape(2, 3))
    assert model_hash(flat) != model_hash(tall)  # the same bytes in another shape


def test_an_artifact_of_another_model_is_refused_with_both_names() -> None:
    model, other = tiny_model(n_layers=1), tiny_model(n_layers=1, seed=1)
    check_same_model(model, model_hash(model), "the mapping", "head_mapping")
    hashes = f"{model_hash(other)}.*{model_hash(model)}"
    message = f"the mapping is of model {hashes}.*--pipelines head_mapping` and"
    with pytest.raises(ValueError, match=message):
        check_same_model(model, model_hash(other), "the mapping", "head_mapping")
