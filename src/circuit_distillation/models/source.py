"""Where a model comes from and how it is loaded: hub id at a commit or folder, dtype, device, attention."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from circuit_distillation.models import hub
from circuit_distillation.models.checkpoint_files import (
    check_config,
    check_weights,
    sampled_digest,
    settings_digest,
)
from circuit_distillation.models.loading import Checkpoint, load_checkpoint
from circuit_distillation.models.settings import Loading
from circuit_distillation.storage.sources import Files

SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "*.index.json",
)
WEIGHTS = ("*.safetensors",)
DIGESTS = {"weights": sampled_digest, "settings": settings_digest}


class ModelSource(Files, Loading):
    """A folder of `save_pretrained` form, or a repository of the hub at a commit, and how it is held."""

    @property
    def name(self) -> str:
        """The model in one word, for messages and records."""
        return str(self.path) if self.path is not None else f"{self.hub_id}@{str(self.revision)[:8]}"

    def fetch(self, *, weights: bool = True) -> Path:
        """The folder with the files, downloaded where needed, checked. ValueError says what is wrong with it.

        Without `weights` only configuration and tokenizer are fetched; weights that are there are checked.
        """
        if self.path is not None:
            folder = Path(self.path).expanduser()
            if not folder.is_dir():
                raise ValueError(f"there is no folder {folder}: give the path of a checkpoint, or a hub_id")
        else:
            patterns = SMALL_FILES + WEIGHTS if weights else SMALL_FILES
            assert self.hub_id and self.revision, "files without a path are on the hub"
            folder = hub.download(self.hub_id, self.revision, patterns)
        check_config(folder)
        if weights or self.path is not None:
            check_weights(folder)
        return folder

    def identity(self) -> dict[str, str | None]:
        """What tells weights and settings (configuration, tokenizer) of a folder from others; None for those
        of a commit of the hub.
        """
        if self.path is None:
            return dict.fromkeys(DIGESTS)
        return {name: digest(Path(self.path).expanduser()) for name, digest in DIGESTS.items()}

    def load(self) -> Checkpoint:
        """The model with its tokenizer, in evaluation mode on its device."""
        return load_checkpoint(
            self.fetch(), dtype=self.dtype, attention=self.attention, device_map=self.device_map
        )


@dataclass
class PrunedModel:
    """A model that is stored here, and the source of the one that it was pruned from."""

    checkpoint: Checkpoint
    source: ModelSource


def check_loading(source: ModelSource) -> None:
    """ValueError for a device or an attention implementation that this machine does not have."""
    if str(source.device_map).startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device_map {source.device_map!r}: this machine has no GPU; use cpu or null")
    if source.attention == "flash_attention_2":
        from transformers.utils import is_flash_attn_2_available

        if not is_flash_attn_2_available():
            raise ValueError("attention flash_attention_2 needs flash-attn and a GPU: install it or use sdpa")
