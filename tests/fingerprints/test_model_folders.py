"""A node that reads a model from a folder is stale once anything of that model has changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node
from naive.tiny_models import tiny_model

from circuit_distillation.datasets.files import JSONDataset
from circuit_distillation.fingerprints.artifacts import artifact_of
from circuit_distillation.fingerprints.plan import FRESH, STALE, Planner
from circuit_distillation.fingerprints.record import write_record

NODE = Node(len, ["params:family.models"], "base", name="find")


def edit(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


CHANGES = {
    "nothing": lambda folder: None,
    "rope_theta": lambda folder: edit(folder / "config.json", rope_theta=10),
    "the tokenizer": lambda folder: edit(folder / "tokenizer_config.json", add_eos_token=True),
    "the weights": lambda folder: tiny_model(n_layers=1, seed=1).save_pretrained(folder),
    "a file that no model is made of": lambda folder: (folder / "README.md").write_text("new"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_model_is_made_of_counts(tmp_path, what):
    folder = tmp_path / "model"
    tiny_model(n_layers=1).save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text("{}")
    on_hub = {"path": None, "hub_id": "a/b", "revision": "c"}
    models = {"small": {"path": str(folder), "hub_id": None, "revision": None}, "large": on_hub}
    parameters = {"task": "tom", "family": {"models": models}}
    base = JSONDataset(filepath=str(tmp_path / "base.json"))
    catalog = DataCatalog({"base": base, "parameters": MemoryDataset(parameters)})
    base.save({})
    made = Planner([NODE], catalog).made(NODE)
    assert list(made.inputs) == ["family.models.small"]  # a commit of the hub does not change
    write_record(artifact_of(base), made, NODE.name)
    CHANGES[what](folder)
    verdict = Planner([NODE], catalog).judge(NODE)
    if what in ("nothing", "a file that no model is made of"):
        assert verdict.state == FRESH
    else:
        assert verdict == (STALE, ("family.models.small has changed",), {})
