"""Find the models of a family, check them before any work, and compare their tokenizers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from circuit_distillation.models.architecture import CausalLM, architecture
from circuit_distillation.models.checkpoint_files import empty_model
from circuit_distillation.models.family_model import FamilyModel
from circuit_distillation.models.pruned_size import PrunedSize
from circuit_distillation.models.pruning_choice import check_size
from circuit_distillation.models.settings import Loading
from circuit_distillation.models.source import ModelSource, check_loading
from circuit_distillation.models.words import check_open_end
from circuit_distillation.ranges import OfRoles
from circuit_distillation.storage.sources import Files

# Texts whose cut shows the rules of a tokenizer: words, letters, numbers, spaces, other scripts.
PROBES = (
    "The apple is in Box Q, 1234 + 56 = 1290.\nAnswer: unknown",
    "650841823 * 0.07 = 45558927.61",
    "It's  a   naïve café:\n\n\tdon't (E=mc^2) — 日本語 🙂",
)


def family_sources(models: OfRoles[FamilyModel], loading: Loading) -> dict[str, ModelSource]:
    """Role -> source, from where each role's files are and how all models are held.

    The source of a pruned student is that of the large model.
    """
    files = {role: files_of(models, role) for role, _ in models}
    return {role: ModelSource(**vars(where), **vars(loading)) for role, where in files.items()}


def files_of(models: OfRoles[FamilyModel], role: str) -> Files:
    """Where the files of a role are; those of the large model if it is pruned from that."""
    model = models.of(role)
    where = models.large if model.size else model
    return Files(hub_id=where.hub_id, revision=where.revision, path=where.path)


def instruct_sources(models: OfRoles[Files], loading: Loading) -> dict[str, ModelSource]:
    """The same of instruction-tuned models."""
    return {role: ModelSource(**vars(where), **vars(loading)) for role, where in models}


def pruned_sizes(models: OfRoles[FamilyModel]) -> dict[str, PrunedSize]:
    """What stays of the large model, for the roles that are pruned from it."""
    return {role: model.size for role, model in models if model.size}


def check_pruned_sizes(models: OfRoles[FamilyModel], large: Path) -> None:
    """ValueError, with the role, for a student that the large model in a folder cannot be pruned to."""
    for role, size in pruned_sizes(models).items():
        try:
            check_size(architecture(empty_model(large)), size)
        except ValueError as error:
            raise ValueError(f"family.models.{role}: {error}") from None


def allow_tf32() -> None:
    """Let GPUs multiply float32 matrices on their tensor cores, here and in processes started here."""
    os.environ["TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"] = "1"  # read by torch when a process starts
    torch.backends.cuda.matmul.allow_tf32 = True


def load_tokenizer(source: ModelSource) -> Any:
    """The tokenizer alone."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(source.fetch(weights=False), local_files_only=True)


def check_family(sources: Mapping[str, ModelSource], block: str = "models") -> dict[str, Path]:
    """Folders with configuration and tokenizer by role; weights in folders are checked, none is downloaded.

    ValueError, with the role in its `block` of parameters, for whatever would stop a run later.
    """
    folders = {}
    for role, source in sources.items():
        try:
            check_loading(source)
            folders[role] = source.fetch(weights=False)
        except ValueError as error:
            raise ValueError(f"family.{block}.{role}: {error}") from None
    check_tokenizers(folders, block)
    return folders


def check_instruct(sources: Mapping[str, ModelSource], bases: Mapping[str, Path]) -> dict[str, Path]:
    """The same of instruction-tuned models, which get the prompts that were made for the bases."""
    folders = check_family(sources, "instruct")
    check_tokenizers({"large": bases["large"], "instruct.large": folders["large"]}, "models")
    return folders


def check_tokenizers(folders: Mapping[str, Path], block: str) -> None:
    """ValueError unless all roles have one vocabulary and cut text alike, within their embeddings."""
    tokenizers = {}
    for role, folder in folders.items():
        try:
            tokenizers[role] = _checked_tokenizer(folder)
        except ValueError as error:
            raise ValueError(f"family.{block}.{role}: {error}") from None
    (first, reference), *others = tokenizers.items()
    for role, tokenizer in others:
        same_words = tokenizer.get_vocab() == reference.get_vocab()
        if not same_words or any(
            tokenizer(probe).input_ids != reference(probe).input_ids for probe in PROBES
        ):
            raise ValueError(
                f"the tokenizers of {first} and {role} differ: teacher and students must share one, choose "
                "models of one family"
            )


def _checked_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"the tokenizer in {folder} is broken: {first}") from None
    n_embeddings = empty_model(folder).get_input_embeddings().weight.shape[0]
    if len(tokenizer) > n_embeddings:
        raise ValueError(
            f"the tokenizer has {len(tokenizer)} tokens, the model {n_embeddings} embeddings: they do not "
            "belong together"
        )
    if tokenizer.eos_token_id is None:
        raise ValueError("the tokenizer has no end-of-sequence token")
    check_open_end(tokenizer)
    _check_cuts(tokenizer, folder)
    return tokenizer


def _check_cuts(tokenizer: Any, folder: Path) -> None:
    """ValueError if the tokenizer's class has rules of its own beside those of tokenizer.json."""
    from tokenizers import Tokenizer

    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    plain.no_truncation()
    plain.no_padding()
    for probe in PROBES:
        ids = tokenizer(probe, add_special_tokens=False).input_ids
        if ids != plain.encode(probe, add_special_tokens=False).ids:
            raise ValueError(
                f"{type(tokenizer).__name__} cuts text otherwise than {folder}/tokenizer.json: write "
                '"tokenizer_class": "TokenizersBackend" into tokenizer_config.json if tokenizer.json is the '
                "model's own, else put the model's own there"
            )


def family_record(sources: Mapping[str, ModelSource]) -> dict[str, dict[str, Any]]:
    """Where each role's weights are from, and their size; downloads them if need be."""
    record = {}
    for role, source in sources.items():
        record[role] = {
            "source": source.name,
            "revision": source.revision if source.path is None else None,
            **model_size(empty_model(source.fetch())),
            "dtype": source.dtype,
        }
    return record


def model_size(model: CausalLM) -> dict[str, int]:
    """Parameters, layers, heads and key/value heads, for records."""
    config = model.config
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "key_value_heads": config.num_key_value_heads,
    }
