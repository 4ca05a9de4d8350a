"""Base models are held to what the artifacts of a run were made with."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from naive.tiny_models import tiny_model
from transformers import LlamaConfig

from circuit_distillation.datasets.base_model import BaseModelDataset
from circuit_distillation.hooks.models import _check_adapters, _check_recorded
from circuit_distillation.models.checkpoint_files import sampled_digest
from circuit_distillation.models.source import ModelSource


def weights_into(folder: Path, seed: int) -> ModelSource:
    """The files of a random model of the same shapes for every seed."""
    torch.manual_seed(seed)
    tiny_model(n_layers=1, seed=seed).save_pretrained(folder)
    return ModelSource(path=str(folder))


def test_other_weights_in_the_same_folder_are_named_and_a_new_start_makes_another_artifact(tmp_path) -> None:
    dataset = BaseModelDataset(str(tmp_path / "small.json"))
    catalog = SimpleNamespace(get=lambda name: {"base.small": dataset}[name])
    source = weights_into(tmp_path / "model", 0)
    dataset.save(source)
    first = (tmp_path / "small.json").read_text()
    _check_recorded("models", "base", {"small": source}, catalog)
    source = weights_into(tmp_path / "model", 1)
    with pytest.raises(
        ValueError, match=r"family\.models\.small: the weights in .* are not those.*: put those back"
    ):
        _check_recorded("models", "base", {"small": source}, catalog)
    (tmp_path / "small.json").unlink()
    _check_recorded("models", "base", {"small": source}, catalog)
    dataset.save(source)
    assert (tmp_path / "small.json").read_text() != first  # so that what was made of it is stale


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_weights_under_another_configuration_or_tokenizer_are_another_model(tmp_path, name) -> None:
    dataset = BaseModelDataset(str(tmp_path / "small.json"))
    catalog = SimpleNamespace(get=lambda _: dataset)
    source = weights_into(tmp_path / "model", 0)
    for other in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "model" / other).write_text("{}")
    dataset.save(source)
    _check_recorded("models", "base", {"small": source}, catalog)
    path = tmp_path / "model" / name
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rope_theta": 10}))
    message = r"family\.models\.small: the configuration and tokenizer in .* are not those.*: put those back"
    with pytest.raises(ValueError, match=message):
        _check_recorded("models", "base", {"small": source}, catalog)


def test_one_head_that_differs_in_a_large_file_is_noticed(tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    with open(path, "wb") as file:
        file.truncate(2**30)  # without taking room
    before = sampled_digest(tmp_path)
    with open(path, "r+b") as file:
        file.seek(2**29 + 5000)
        file.write(b"\1" * 2**18)  # the query rows of a head of a model of 1B parameters
    assert sampled_digest(tmp_path) != before


def test_adapters_of_tied_weights_are_refused_before_any_work(tmp_path) -> None:
    folders = {role: tmp_path / role for role in ("small", "large")}
    for role, ties in (("small", False), ("large", True)):
        LlamaConfig(tie_word_embeddings=ties).save_pretrained(folders[role])
    lora = {"method": {"small": "lora", "large": "lora"}, "lora": {"targets": ["q_proj", "lm_head"]}}
    with pytest.raises(ValueError, match=r"family\.models\.large: the model ties .*: leave lm_head out of"):
        _check_adapters(folders, lora)
    _check_adapters({"small": folders["small"]}, lora)
    _check_adapters(folders, lora | {"method": {"small": "lora", "large": "full"}})
