"""A base model is stored as where it is, and held as the run that loads it says."""

from __future__ import annotations

import json

from circuit_distillation.datasets.base_model import BaseModelDataset
from circuit_distillation.models import source
from circuit_distillation.models.source import ModelSource


def test_device_dtype_and_attention_are_those_of_the_run_that_loads(tmp_path, monkeypatch):
    file = str(tmp_path / "small.json")
    first = ModelSource(path="/models/small", dtype="float32", device_map="cuda:1")
    monkeypatch.setattr(ModelSource, "identity", lambda self: {"weights": "ab", "settings": "cd"})
    BaseModelDataset(file).save(first)
    stored = json.loads((tmp_path / "small.json").read_text())
    where = {"hub_id": None, "revision": None, "path": "/models/small"}
    assert stored == where | {"weights": "ab", "settings": "cd"}
    given = {}
    monkeypatch.setattr(ModelSource, "fetch", lambda self: self.path)
    monkeypatch.setattr(source, "load_checkpoint", lambda folder, **how: given.update(how, folder=folder))
    now = {"dtype": "bfloat16", "device_map": "cpu", "attention": "eager"}
    BaseModelDataset(file, load_args=now).load()
    assert given == {"folder": "/models/small", **now}
