"""LoRA adapters (peft) on a model, and their merge into its own weights before anything is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.training.finetuning_settings import LoraSettings

ENDS = {"embed_tokens", "lm_head"}  # may share their weights


def check_targets(targets: Sequence[str], ties: bool) -> None:
    """ValueError for adapters of weights that two modules share: a merge into one would change both."""
    shared = sorted(ENDS & set(targets))
    if ties and shared:
        raise ValueError(
            f"the model ties embed_tokens and lm_head: leave {', '.join(shared)} out of lora.targets"
        )


@contextmanager
def adapted(model: CausalLM, settings: LoraSettings, seed: int) -> Iterator[nn.Module]:
    """`model` with adapters that train while its own weights are frozen; afterwards a plain model again.

    At the end each adapter is added to its matrix, whatever ended the block: o_proj is read by hand elsewhere
    and would leave an adapter out. Adapters are float32 also where the model is of half precision. ValueError
    if no module has the name of a target, or the target is tied.
    """
    from peft import LoraConfig, get_peft_model

    check_targets(settings.targets, model.config.tie_word_embeddings)
    names = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    unknown = [target for target in settings.targets if target not in names]
    if unknown:
        raise ValueError(f"the model has no {', '.join(unknown)} to adapt: change lora.targets")
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.targets),
        bias="none",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        wrapped = get_peft_model(model, config)
    try:
        yield model
    finally:
        wrapped.merge_and_unload()
        model.requires_grad_(True)
