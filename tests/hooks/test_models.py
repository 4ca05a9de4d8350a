"""Base models are held to what the artifacts of a run were made with."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from naive.tiny_models import tiny_model
from standins import train_bpe, write_checkpoint
from transformers import LlamaConfig, MistralConfig, Qwen2Config

from circuit_distillation import grid
from circuit_distillation.datasets.base_model import BaseModelDataset
from circuit_distillation.hooks.models import (
    _check_adapters,
    _check_recorded,
    _check_training,
    _check_windows,
)
from circuit_distillation.models.checkpoint_files import sampled_digest
from circuit_distillation.models.loading import load_checkpoint
from circuit_distillation.models.source import ModelSource


def edit(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


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
    edit(tmp_path / "model" / name, rope_theta=10)
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


WINDOWS = {
    "mistral": (MistralConfig, {"sliding_window": 32}),
    "qwen2": (
        Qwen2Config,
        {
            "use_sliding_window": True,
            "sliding_window": 32,
            "layer_types": ["full_attention", "sliding_attention"],
        },
    ),
}


@pytest.mark.parametrize("kind", WINDOWS)
def test_a_window_below_the_prompts_is_refused_before_any_work_with_a_remedy_that_helps(tmp_path, kind):
    form, window = WINDOWS[kind]
    folder = write_checkpoint(tmp_path, "small", train_bpe(), form=form)
    parameters = {"task": "entity", "data_generation": {"task_options": {"entity": {}}}}
    _check_windows("models", {"small": folder}, parameters)
    edit(folder / "config.json", **window)
    message = r"family\.models\.small: prompts of 54 tokens exceed the sliding window of 32: .*_window\": 54"
    with pytest.raises(ValueError, match=message):
        _check_windows("models", {"small": folder}, parameters)
    edit(folder / "config.json", sliding_window=54)
    _check_windows("models", {"small": folder}, parameters)
    ids = torch.arange(54)[None]
    model = load_checkpoint(folder).model
    full = load_checkpoint(folder, attention="eager").model
    full.config.sliding_window = 1000
    assert torch.allclose(model(input_ids=ids).logits, full(input_ids=ids).logits, atol=1e-4)


def test_students_that_no_arm_can_train_are_refused_before_any_work(tmp_path) -> None:
    grid.select("entity", ("full_kl",))
    arms = {name: {"labels": "soft" if name == "full_kl" else "hard"} for name in grid.arms()}
    folders = {role: tmp_path / role for role in grid.roles()}

    def configure(role: str, **values) -> None:
        LlamaConfig(**{"vocab_size": 512} | values).save_pretrained(folders[role])

    for role in grid.roles():
        configure(role)
    configure("large", attention_dropout=0.1)  # no arm trains it
    _check_training(folders, arms)
    configure("medium", attention_dropout=0.1)
    with pytest.raises(
        ValueError, match=r"family\.models\.medium: .*\(attention_dropout 0\.1\): write .*: 0\.0"
    ):
        _check_training(folders, arms)
    edit(folders["medium"] / "config.json", attention_dropout=0.0)
    configure("large", vocab_size=576)
    with pytest.raises(ValueError, match="small: soft labels need .*, 576, not 512: .* full_kl out of"):
        _check_training(folders, arms)
    grid.select("entity")
    _check_training(folders, arms)


def test_adapters_of_tied_weights_are_refused_before_any_work(tmp_path) -> None:
    folders = {role: tmp_path / role for role in ("small", "large")}
    for role, ties in (("small", False), ("large", True)):
        LlamaConfig(tie_word_embeddings=ties).save_pretrained(folders[role])
    lora = {"method": {"small": "lora", "large": "lora"}, "lora": {"targets": ["q_proj", "lm_head"]}}
    with pytest.raises(ValueError, match=r"family\.models\.large: the model ties .*: leave lm_head out of"):
        _check_adapters(folders, lora)
    _check_adapters({"small": folders["small"]}, lora)
    _check_adapters(folders, lora | {"method": {"small": "lora", "large": "full"}})
