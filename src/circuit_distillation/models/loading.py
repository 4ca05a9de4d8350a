"""Load and save checkpoints as whole folders, and give a model the hash that artifacts carry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from circuit_distillation.models.architecture import CausalLM
from circuit_distillation.storage.folders import new_folder
from circuit_distillation.storage.tensors import in_own_memory

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass
class Checkpoint:
    """A causal language model with the tokenizer it was trained with."""

    model: CausalLM
    tokenizer: PreTrainedTokenizerFast


def load_checkpoint(
    folder: str | Path, *, dtype: str = "float32", attention: str = "sdpa", device_map: str | None = "cpu"
) -> Checkpoint:
    """Read a `save_pretrained` folder from disk; safetensors only, in evaluation mode.

    device_map: the one device that holds the model; None: the first GPU if there is one. A tokenizer without
    a padding token gets its end of sequence for that, since padding is masked by position and the vocabulary
    must not grow. Raises `ValueError` if the folder holds no checkpoint.
    """
    from transformers import AutoTokenizer

    folder = Path(folder)
    if not is_checkpoint(folder):
        raise ValueError(f"{folder} holds no checkpoint (config.json and safetensors); make it first")
    model = load_model(folder, dtype, attention)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Checkpoint(model.to(_device(device_map)), tokenizer)


def load_model(folder: Path, dtype: str, attention: str) -> CausalLM:
    """The model of a folder on the CPU in evaluation mode; its weights lie as those of a model made here."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=getattr(torch, dtype),
        attn_implementation=attention,
        local_files_only=True,
        use_safetensors=True,
    )
    return in_own_memory(model.eval())


def _device(name: str | None) -> str:
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def save_checkpoint(checkpoint: Checkpoint, folder: str | Path) -> None:
    """Write model and tokenizer beside `folder`, then rename: the folder is whole or absent."""
    with new_folder(Path(folder)) as beside:
        checkpoint.model.save_pretrained(beside)
        checkpoint.tokenizer.save_pretrained(beside)


def is_checkpoint(folder: str | Path) -> bool:
    """Whether the folder has a configuration and safetensors weights."""
    folder = Path(folder)
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))


def model_hash(model: torch.nn.Module) -> str:
    """Sixteen hexadecimal digits of SHA-256 over the names, shapes and bytes of all parameters."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(f"{name}{tuple(parameter.shape)}{parameter.dtype}".encode())
        flat = parameter.detach().cpu().contiguous().view(-1).view(torch.uint8)
        digest.update(flat.numpy().data)
    return digest.hexdigest()[:16]


def check_same_model(model: torch.nn.Module, expected: str, what: str, pipeline: str) -> None:
    """ValueError unless `expected`, the hash that an artifact carries, is that of the model.

    `pipeline` is the one that makes the artifact.
    """
    found = model_hash(model)
    if found != expected:
        raise ValueError(
            f"{what} is of model {expected}, the model here is {found}: one was made again without the "
            f"other. Make {what} again with `kedro run --pipelines {pipeline}` and the same --params"
        )
