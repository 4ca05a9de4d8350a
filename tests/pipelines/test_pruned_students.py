"""Students of loaded checkpoints that have no smaller model: pruned from the large one."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from configuration import shipped_parameters
from kedro.io.core import DatasetError
from standins import train_bpe, write_checkpoint
from transformers import LlamaConfig, MistralConfig, Qwen3Config

from circuit_distillation.datasets.base_model import BaseModelDataset
from circuit_distillation.models.architecture import architecture
from circuit_distillation.models.loaded_family import check_pruned_sizes
from circuit_distillation.models.loading import load_checkpoint, model_hash
from circuit_distillation.models.settings import Loading
from circuit_distillation.parameters import ParameterError, validate
from circuit_distillation.parameters.data import TaskOptions
from circuit_distillation.parameters.models import Models
from circuit_distillation.pipelines.base_models.nodes import load_base_models

FORMS = {
    "llama": (LlamaConfig, "large"),  # embeddings apart
    "tied": (LlamaConfig, "medium"),
    "mistral": (MistralConfig, "medium"),
    "biases": (partial(LlamaConfig, attention_bias=True), "medium"),
    "head norms": (Qwen3Config, "medium"),
}
CPU = Loading(device_map="cpu")


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe()


@pytest.fixture(scope="module", params=FORMS)
def large(request, tmp_path_factory, tokenizer) -> Path:
    form, role = FORMS[request.param]
    return write_checkpoint(tmp_path_factory.mktemp("large") / "large", role, tokenizer, 1, form)


def models_of(large: Path, **small: Any) -> Models:
    files, small = {"path": str(large)}, {"pruned_from": "large"} | small
    return Models.model_validate({"small": small, "medium": files, "large": files})


def options() -> TaskOptions:
    return validate(shipped_parameters("base", "llama3")).data_generation.task_options


def test_a_student_is_stored_with_its_ancestry(large, tmp_path):
    models = models_of(large, layers=(0, 2), kv_heads=1)
    small, medium, _, record, ancestry = load_base_models(models, CPU, options(), "entity", 0)
    dataset = BaseModelDataset(str(tmp_path / "small.json"), {"dtype": "float32", "device_map": "cpu"})
    dataset.save(small)
    stored = dataset.load()
    assert model_hash(stored.model) == model_hash(small.checkpoint.model)
    assert stored.tokenizer.get_vocab() == small.checkpoint.tokenizer.get_vocab()
    shape, whole = architecture(stored.model), architecture(load_checkpoint(large).model)
    assert (shape.n_layers, shape.n_kv_heads, shape.n_heads) == (2, 1, whole.group_size)
    assert [head for head, _ in ancestry["small"]] == [
        [layer, head] for layer in range(2) for head in range(whole.group_size)
    ]
    assert [layer for _, (layer, _) in ancestry["small"]] == [0] * whole.group_size + [2] * whole.group_size
    roles = record["roles"]
    assert roles["small"]["pruned_from"] == "large" and roles["small"]["heads"] == shape.n_heads
    assert "pruned_from" not in roles["medium"] and medium.path == str(large)


def test_a_student_that_keeps_everything_is_the_large_model(large):
    model = load_checkpoint(large).model
    models = models_of(large, layers=architecture(model).n_layers)
    small = load_base_models(models, CPU, options(), "tom", 0)[0]
    ids = torch.arange(3, 27).view(2, 12)
    with torch.no_grad():
        assert torch.equal(small.checkpoint.model(ids).logits, model(ids).logits)


def test_a_narrow_student_is_the_same_again(large):
    models = models_of(large, layers=2, hidden_size=24)
    first, second = (load_base_models(models, CPU, options(), "entity", 3)[0] for _ in range(2))
    assert first.checkpoint.model.config.hidden_size == 24
    assert model_hash(first.checkpoint.model) == model_hash(second.checkpoint.model)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"layers": 9}, "family.models.small: layers 9: the model to prune has only 4"),
        ({"layers": (0, 4)}, r"family.models.small: layers \[0, 4\] must rise and lie in 0 .. 3"),
        ({"kv_heads": 3}, "family.models.small: kv_heads 3: the model to prune has only 2"),
        ({"hidden_size": 20}, "family.models.small: hidden_size 20 is no multiple of the 8 heads"),
    ],
)
def test_a_size_that_the_large_model_does_not_have_is_one_line(tmp_path, tokenizer, changes, line):
    large = write_checkpoint(tmp_path / "large", "large", tokenizer)
    with pytest.raises(ValueError, match=line):
        check_pruned_sizes(models_of(large, **changes), large)


@pytest.mark.parametrize(
    ("role", "changes", "line"),
    [
        ("small", {"pruned_from": "large"}, "`pruned_from` needs at least one of `layers`"),
        ("small", {"layers": 4}, "are of a model with `pruned_from`"),
        ("small", {"pruned_from": "medium", "layers": 4}, "`family.models.small.pruned_from` = 'medium'"),
        ("small", {"pruned_from": "large", "layers": 0}, "family.models.small.layers"),
        ("small", {"pruned_form": "large"}, "did you mean `pruned_from`"),
        ("large", {"pruned_from": "large", "layers": 4}, "`large.pruned_from` must be null"),
    ],
)
def test_what_is_wrong_with_the_parameters_is_one_line(role, changes, line):
    raw = copy.deepcopy(shipped_parameters("base", "llama3"))
    raw["family"]["models"][role] |= changes
    with pytest.raises(ParameterError, match=line) as caught:
        validate(raw)
    assert "\n" not in str(caught.value)


def test_other_weights_in_the_folder_of_a_student_are_refused(tmp_path, tokenizer):
    large = write_checkpoint(tmp_path / "large", "large", tokenizer)
    dataset = BaseModelDataset(str(tmp_path / "small.json"), {"dtype": "float32", "device_map": "cpu"})
    dataset.save(load_base_models(models_of(large, layers=2), CPU, options(), "entity", 0)[0])
    write_checkpoint(tmp_path / "small", "small", tokenizer, 5)
    with pytest.raises(DatasetError, match="does not hold"):
        dataset.load()
