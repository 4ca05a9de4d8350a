"""Tensors are read into aligned memory of their own, and a file of them is whole or absent."""

from __future__ import annotations

import os

import pytest
import torch
from safetensors import safe_open
from torch import nn

from circuit_distillation.storage import tensors
from circuit_distillation.storage.tensors import in_own_memory, read_tensors, write_tensors

CACHE_LINE = 64


def offset(tensor: torch.Tensor) -> int:
    """Bytes beyond a multiple of 64."""
    return tensor.data_ptr() % CACHE_LINE


def test_what_is_written_is_read_with_what_it_is_about(tmp_path) -> None:
    values = {"a": torch.randn(3, 5).T, "b": torch.arange(4)}
    write_tensors(tmp_path / "deep" / "x.safetensors", values, {"step": 3, "of": ["a", "b"]})
    found, about = read_tensors(tmp_path / "deep" / "x.safetensors")
    assert about == {"step": 3, "of": ["a", "b"]} and set(found) == {"a", "b"}
    assert all(torch.equal(found[name], values[name]) for name in values)


def test_tensors_are_aligned_wherever_the_header_puts_them(tmp_path) -> None:
    path, mapped = tmp_path / "x.safetensors", set()
    for length in range(1, 129, 8):  # of the text in the header, which moves what follows
        write_tensors(path, {"a": torch.randn(7), "b": torch.randn(7, 3)}, "x" * length)
        with safe_open(path, framework="pt") as file:
            mapped |= {offset(file.get_tensor(name)) for name in ("a", "b")}
        assert {offset(tensor) for tensor in read_tensors(path)[0].values()} == {0}
    assert len(mapped) > 1  # else nothing was tried


def test_a_write_that_fails_leaves_the_old_file_readable(tmp_path, monkeypatch) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": torch.ones(2)}, "old")
    before = sorted(os.listdir(tmp_path))
    monkeypatch.setattr(tensors.os, "replace", _full)
    with pytest.raises(OSError, match="no space"):
        write_tensors(path, {"a": torch.zeros(2)}, "new")
    monkeypatch.undo()
    assert read_tensors(path)[1] == "old" and sorted(os.listdir(tmp_path)) == before


def _full(source, target) -> None:
    if str(target).endswith("x.safetensors"):
        raise OSError("no space left")
    os.rename(source, target)


def test_a_model_moves_into_its_own_memory_and_ties_stay() -> None:
    stored = torch.randn(100)
    model = nn.ModuleDict({"a": nn.Linear(4, 4, bias=False), "b": nn.Linear(4, 4, bias=False)})
    model["a"].weight.data = stored[1:17].view(4, 4)  # four bytes beyond
    model["b"].weight = model["a"].weight
    model.register_buffer("scale", stored[3:5])
    values = model["a"].weight.clone()
    in_own_memory(model)
    assert torch.equal(model["a"].weight, values) and model["b"].weight is model["a"].weight
    assert offset(model["a"].weight) == offset(model.scale) == 0
    assert model["a"].weight.untyped_storage().data_ptr() != stored.untyped_storage().data_ptr()
