"""LoRA: what trained is what is measured, and a merged model is a plain one."""

from __future__ import annotations

import copy

import pytest
import torch
from naive.tiny_models import tiny_model, tiny_prompts

from circuit_distillation.circuits.path_patching import score_heads
from circuit_distillation.training.adapters import adapted, check_targets
from circuit_distillation.training.finetuning_settings import LoraSettings

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")
SETTINGS = LoraSettings(rank=4, alpha=8.0, dropout=0.0, targets=TARGETS)


def disturb(model: torch.nn.Module) -> None:
    """Adapters far from the zero they begin with."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name)))


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    return model.eval()(input_ids=tiny_prompts()).logits


@pytest.mark.parametrize("style", ["llama", "qwen3"])
def test_merging_keeps_the_logits_of_the_adapters_and_leaves_a_plain_model(style):
    model = tiny_model(style)
    plain, names = logits(model), [name for name, _ in model.named_parameters()]
    with adapted(model, SETTINGS, seed=0) as wrapped:
        assert torch.equal(logits(wrapped), plain)  # adapters begin at zero
        trained = [name for name, parameter in wrapped.named_parameters() if parameter.requires_grad]
        assert trained and all("lora_" in name for name in trained)
        disturb(wrapped)
        with_adapters = logits(wrapped)
    assert not torch.allclose(with_adapters, plain)
    assert torch.allclose(logits(model), with_adapters, atol=1e-9)
    assert [name for name, _ in model.named_parameters()] == names
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_after_merging_a_patch_that_changes_nothing_scores_zero():
    model, ids = tiny_model(), tiny_prompts()
    before = copy.deepcopy(model)
    with adapted(model, SETTINGS, seed=0) as wrapped:
        disturb(wrapped)
    moved = (
        model.model.layers[0].self_attn.o_proj.weight - before.model.layers[0].self_attn.o_proj.weight
    ).abs()
    assert moved.max() > 0.1  # o_proj was adapted: dropped, as in the prior work, no score would be zero
    scores = score_heads(model, ids, ids, ids[:, 0], -1)
    assert scores.abs().max() < 1e-9


def test_adapters_merge_also_when_training_fails():
    model = tiny_model()
    with pytest.raises(FloatingPointError):
        with adapted(model, SETTINGS, seed=0) as wrapped:
            disturb(wrapped)
            raise FloatingPointError
    assert not any("lora" in name for name, _ in model.named_modules())


def test_the_same_seed_gives_the_same_adapters_and_leaves_the_global_state():
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        with adapted(tiny_model(), SETTINGS, seed=3) as wrapped:
            states.append([p.clone() for n, p in wrapped.named_parameters() if "lora_A" in n])
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def test_unknown_targets_are_named():
    with pytest.raises(ValueError, match="no c_attn to adapt: change lora.targets"):
        with adapted(tiny_model(), SETTINGS.model_copy(update={"targets": ("q_proj", "c_attn")}), seed=0):
            pass


def test_adapters_of_tied_weights_are_refused():
    tied = tiny_model()
    tied.config.tie_word_embeddings = True
    with pytest.raises(ValueError, match="ties embed_tokens and lm_head: leave lm_head out of lora.targets"):
        with adapted(tied, SETTINGS.model_copy(update={"targets": ("q_proj", "lm_head")}), seed=0):
            pass
    check_targets(("q_proj", "lm_head"), ties=False)
