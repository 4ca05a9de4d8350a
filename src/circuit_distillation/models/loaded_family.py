"""Find the models of a family, check them before any work, and compare their tokenizers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from circuit_distillation.models.checkpoint_files import empty_model
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


def family_sources(files: OfRoles[Files], loading: Loading) -> dict[str, ModelSource]:
    """Role -> source, from where each role's files are and how all models are held."""
    return {role: ModelSource(**vars(where), **vars(loading)) for role, where in files}


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
    check_tokenizers({"small": bases["small"], "instruct.small": folders["small"]}, "models")
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
        model = empty_model(source.fetch())
        config = model.config
        record[role] = {
            "source": source.name,
            "revision": source.revision if source.path is None else None,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "layers": config.num_hidden_layers,
            "heads": config.num_attention_heads,
            "key_value_heads": config.num_key_value_heads,
            "dtype": source.dtype,
        }
    return record
