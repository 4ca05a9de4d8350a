"""The command that compares the engine with transformers, on stand-ins of each block style."""

from __future__ import annotations

import pytest
import torch
from naive.path_patching import naive_scores
from naive.tiny_models import STYLES, tiny_model
from standins import train_open_bpe, write_checkpoint
from transformers import Qwen2Config

from circuit_distillation.circuits import layers
from circuit_distillation.circuits.parity import hooked_scores, main, parity

PROMPTS = torch.Generator().manual_seed(0)
CLEAN, CORRUPT = (torch.randint(1, 40, (5, 12), generator=PROMPTS) for _ in range(2))
ANSWERS = torch.arange(5)


@pytest.mark.parametrize("style", STYLES)
def test_every_block_style_agrees_in_float32(style):
    found = parity(tiny_model(style, n_layers=4).float(), CLEAN, CORRUPT, ANSWERS, heads=16)
    assert found.holds
    assert 0 < found.logits < 1e-5 and 0 < found.patching < 1e-4


def test_hooks_score_as_the_naive_twin_does():
    model, last = tiny_model("qwen2"), torch.full((5,), 11)
    at = (last, last, last + 1)
    senders = [(0, 1), (1, 3), (2, 0)]
    for receivers in (None, [(1, 2), (2, 3)]):
        which = None if receivers is None else "q"
        wanted = naive_scores(model, CLEAN, CORRUPT, ANSWERS, *at, receivers=receivers, which=which)
        found = hooked_scores(model, CLEAN, CORRUPT, ANSWERS, senders, receivers)
        assert torch.allclose(found, torch.stack([wanted[sender] for sender in senders]), atol=1e-10)


def test_an_engine_that_is_off_by_a_percent_is_seen(monkeypatch):
    attend = layers.attend
    monkeypatch.setattr(layers, "attend", lambda *arguments: 1.01 * attend(*arguments))
    assert not parity(tiny_model().float(), CLEAN, CORRUPT, ANSWERS, heads=4).holds


def test_the_command_checks_a_folder(tmp_path, capsys):
    folder = write_checkpoint(tmp_path / "model", "small", train_open_bpe(), form=Qwen2Config)
    assert main([str(folder), "--heads", "4"]) == 0
    assert "within the tolerance of 1e-04" in capsys.readouterr().out
    assert main([str(tmp_path / "absent")]) == 1
    assert "there is no folder" in capsys.readouterr().err
